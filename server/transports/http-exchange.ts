import type { AppError } from '../platform/errors.ts';
import { httpStatuses } from '../platform/errors.ts';
import type { HeaderList } from './listener.ts';

/** An answer before it is written. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers?: HeaderList;
  /** Default `application/json`; '' sends none. */
  readonly contentType?: string;
  /** End the connection afterwards. */
  readonly close?: boolean;
}

export function jsonAnswer(status: number, body: string): HttpAnswer {
  return { status, body };
}

export function textAnswer(status: number, body: string): HttpAnswer {
  return { status, body, contentType: 'text/plain; charset=utf-8' };
}

/** The error body of the API (spec: http-auth-accounts.md, section 1.7). */
export function errorAnswer(error: Pick<AppError, 'code' | 'message'>): HttpAnswer {
  const { code, message } = error;
  return {
    status: httpStatuses[code],
    body: JSON.stringify({ code, message }),
    ...(code === 16 ? { headers: [['WWW-Authenticate', message]] } : {}),
  };
}

/** Values of a header, in the order they came. */
export function headerValues(headers: HeaderList, name: string): string[] {
  const values: string[] = [];
  for (const [key, value] of headers) if (key === name) values.push(value);
  return values;
}

export function headerValue(headers: HeaderList, name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}
