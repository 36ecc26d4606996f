import type { Payload, PayloadName } from './envelope.ts';
import type { ApiMethods, EnvelopePayloads, Init } from './generated/messages.js';
import type { AuthenticatedUser, SocketSession } from './session.ts';

/**
 * What a caller must present (spec: http-auth-accounts.md, section 1.5).
 * none: nothing; server_key: Basic with the server key; session: Bearer with a session token, or an open socket.
 */
export type AuthClass = 'none' | 'server_key' | 'session';

/** One call on its way through the gateway. */
export interface CallContext {
  /** UUID that follows the call through logs. */
  readonly traceId: string;
  readonly door: 'http' | 'socket';
  /** Empty when unknown. */
  readonly clientAddress: string;
  readonly clientPort: string;
  readonly user: AuthenticatedUser | null;
  /** The socket that the call came through. */
  readonly socket: SocketSession | null;
}

export interface UserCallContext extends CallContext {
  readonly user: AuthenticatedUser;
}

export interface SocketCallContext extends UserCallContext {
  readonly socket: SocketSession;
}

/** Sustained calls per second and how many may come at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface ApiMethodOptions {
  readonly auth: AuthClass;
  /** A tighter limit per client address than the general one, for calls that cost much. */
  readonly perAddress?: Rate;
}

/** An API method's implementation: reachable over REST and, as `call`, over the socket. */
export interface ApiMethod {
  readonly kind: 'api';
  readonly name: keyof ApiMethods;
  readonly options: ApiMethodOptions;
  readonly handler: (ctx: CallContext, request: never) => Promise<object> | object;
}

/** A realtime message's implementation: one payload of the envelope. */
export interface RealtimeMethod {
  readonly kind: 'realtime';
  readonly name: PayloadName;
  readonly handler: (ctx: SocketCallContext, message: never) => Promise<RealtimeReply> | RealtimeReply;
}

export type Method = ApiMethod | RealtimeMethod;

/** The direct answer to a realtime message: a payload, an empty ack, or nothing at all. */
export type RealtimeReply = Payload | typeof ack | typeof noReply;

/** The request is done, and there is nothing to say but that. */
export const ack = 'ack' as const;

/** The request gets no answer, not even an empty one. */
export const noReply = 'no reply' as const;

/**
 * Declares the implementation of an API method of proto/. The request arrives decoded with all defaults set; the
 * response may leave out whatever is at its default. Failures are thrown as AppError.
 */
export function api<K extends keyof ApiMethods>(
  name: K,
  options: ApiMethodOptions & { auth: 'session' },
  handler: (
    ctx: UserCallContext,
    request: ApiMethods[K]['request'],
  ) => Promise<Init<ApiMethods[K]['response']>> | Init<ApiMethods[K]['response']>,
): ApiMethod;
export function api<K extends keyof ApiMethods>(
  name: K,
  options: ApiMethodOptions,
  handler: (
    ctx: CallContext,
    request: ApiMethods[K]['request'],
  ) => Promise<Init<ApiMethods[K]['response']>> | Init<ApiMethods[K]['response']>,
): ApiMethod;
export function api(
  name: keyof ApiMethods,
  options: ApiMethodOptions,
  handler: (ctx: never, request: never) => Promise<object> | object,
): ApiMethod {
  return { kind: 'api', name, options, handler: handler as ApiMethod['handler'] };
}

/** Declares what happens when a client sends this payload in an envelope. */
export function realtime<K extends PayloadName>(
  name: K,
  handler: (ctx: SocketCallContext, message: EnvelopePayloads[K]) => Promise<RealtimeReply> | RealtimeReply,
): RealtimeMethod {
  return { kind: 'realtime', name, handler: handler as RealtimeMethod['handler'] };
}
