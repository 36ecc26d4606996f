import { serverKey } from './node.ts';
import { enter, type Target } from './server.ts';

export interface HttpReply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, {} when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies freely
  readonly body: any;
}

export interface HttpOptions {
  /** The Authorization header's value. */
  readonly authorization?: string;
  /** Sent as JSON, unless it is text or bytes already. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** One request to a node, or to the next one of a server. Never throws for an error status. */
export async function request(
  target: Target,
  method: string,
  path: string,
  { authorization, body, headers = {} }: HttpOptions = {},
): Promise<HttpReply> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const { url } = await enter(target, 'call');
  const response = await fetch(url + path, {
    method,
    redirect: 'manual',
    headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
    ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

export const basic = (key: string): string => `Basic ${Buffer.from(`${key}:`).toString('base64')}`;
export const bearer = (token: string): string => `Bearer ${token}`;
export const serverKeyAuth = basic(serverKey);

/** A signed-in player of the tests. */
export interface Player {
  readonly id: string;
  readonly username: string;
  readonly deviceId: string;
  readonly token: string;
  readonly refreshToken: string;
  /** The Authorization header's value. */
  readonly authorization: string;
}

let players = 0;

/** Signs a new player in by device, or an existing one by its device id. */
export async function signIn(target: Target, options: { deviceId?: string; username?: string } = {}): Promise<Player> {
  const deviceId = options.deviceId ?? `test-device-${process.pid}-${Date.now()}-${++players}`;
  const query = options.username === undefined ? '' : `?username=${encodeURIComponent(options.username)}`;
  const reply = await request(target, 'POST', `/v2/account/authenticate/device${query}`, {
    authorization: serverKeyAuth,
    body: { id: deviceId },
  });
  if (reply.status !== 200) throw new Error(`sign-in failed: ${reply.status} ${reply.text}`);
  const { token, refresh_token: refreshToken } = reply.body as { token: string; refresh_token: string };
  const { uid, usn } = claimsOf(token);
  return { id: uid, username: usn, deviceId, token, refreshToken, authorization: bearer(token) };
}

/** The claims of a token, unverified. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into claims freely
export function claimsOf(token: string): any {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}
