import type pg from 'pg';
import { typeParsers } from './types.ts';

export interface ConnectionSettings {
  /** `postgresql://user:password@host:port/name?sslmode=...&options=...`, as `pg` reads it. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** 0 for none. */
  readonly statementTimeoutMs: number;
  /** A transaction that stops talking for so long loses its session, and with it its locks. 0 for none. */
  readonly idleTransactionMs: number;
  readonly applicationName: string;
}

/**
 * What `pg` needs for a connection. Our session settings travel in the start-up packet with the `options` of the URL,
 * so they cost no round trip and drop none of the operator's (nor the tests' search_path). Those of the URL come
 * after ours and win, except for time zone and date style: the parsers depend on them.
 */
export function connectionConfig(settings: ConnectionSettings): pg.ClientConfig {
  const { base, query } = splitUrl(settings.url);
  const options = [
    `-c statement_timeout=${settings.statementTimeoutMs}`,
    `-c idle_in_transaction_session_timeout=${settings.idleTransactionMs}`,
    query.get('options') ?? '',
    '-c TimeZone=UTC',
    '-c DateStyle=ISO',
  ];
  query.set('options', options.filter((option) => option !== '').join(' '));
  if (!query.has('application_name')) query.set('application_name', settings.applicationName);
  return {
    connectionString: `${base}?${query}`,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveDelayMs,
    types: typeParsers,
  };
}

/** The same server, another database on it; session options are left out. */
export function otherDatabase(url: string, name: string): string {
  const { base, query } = splitUrl(url);
  query.delete('options');
  const match = urlPattern.exec(base);
  if (match === null) throw new Error('Not a database URL: expected postgresql://user:password@host:port/name');
  return `${match[1]}/${encodeURIComponent(name)}?${query}`;
}

/** Name of the database that the URL points at, if it says so. */
export function databaseName(url: string): string | undefined {
  const path = urlPattern.exec(splitUrl(url).base)?.[2];
  return path === undefined || path === '' ? undefined : decodeURIComponent(path);
}

/** The URL without its password, for logs and error texts. */
export function redactUrl(url: string): string {
  const { base, query } = splitUrl(url);
  query.delete('password');
  const text = query.size > 0 ? `${base}?${query}` : base;
  return text.replace(/^([a-z]+:\/\/[^/?#:@]*):.*@/i, '$1:***@');
}

const keepAliveDelayMs = 10_000;

/** Scheme and authority, then the database. Taken by hand: `pg` accepts hosts that the URL class does not. */
const urlPattern = /^([a-z]+:\/\/[^/]*)\/?([^/]*)$/i;

function splitUrl(url: string): { base: string; query: URLSearchParams } {
  const at = url.indexOf('?');
  return at < 0
    ? { base: url, query: new URLSearchParams() }
    : { base: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) };
}
