import type { Logger } from 'pino';
import type { Feature, SocketOpening } from '../features/feature.ts';
import { AppError, Code, internal, notFound, RealtimeCode } from '../platform/errors.ts';
import { newId } from '../platform/ids.ts';
import type { CallContext, RealtimeReply, SocketCallContext } from '../wire/method.ts';
import type { SocketSession } from '../wire/session.ts';
import type { AnyMessage } from '../wire/types.ts';
import type { Authenticator, Credentials } from './authenticate.ts';
import type { AfterHook, Hooks } from './hooks.ts';
import type { CallLimits } from './limits.ts';
import type { ApiEntry, Registry } from './registry.ts';

/** One API call, decoded, from whichever door. */
export interface ApiCall {
  readonly entry: ApiEntry;
  readonly request: AnyMessage;
  readonly credentials: Credentials;
  readonly clientAddress: string;
  readonly clientPort: string;
}

/** A realtime message whose failure also ends the socket (spec: realtime.md, section 5.1). */
export class FatalMessageError extends AppError {}

interface Dependencies {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly limits: CallLimits;
  readonly hooks: Hooks;
  readonly features: readonly Feature[];
  readonly log: Logger;
}

/**
 * The one path of every call: authenticate, limit, before hook, handler, after hook. Doors decode before and encode
 * after. Everything that fails leaves here as an AppError.
 */
export class Gateway {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly limits: CallLimits;
  readonly #hooks: Hooks;
  readonly #features: readonly Feature[];
  readonly #log: Logger;

  constructor({ registry, authenticator, limits, hooks, features, log }: Dependencies) {
    this.registry = registry;
    this.authenticator = authenticator;
    this.limits = limits;
    this.#hooks = hooks;
    this.#features = features;
    this.#log = log;
  }

  /** Answers the response message, which may leave out defaults. Throws AppError. */
  async callApi({ entry, request, credentials, clientAddress, clientPort }: ApiCall): Promise<object> {
    const { method, name } = entry;
    const { socket } = credentials;
    const user = this.authenticator.authenticate(method.options.auth, credentials);
    if (user !== null) this.limits.checkUser(user.id);
    const { perAddress } = method.options;
    const door = socket === null ? 'http' : 'socket';
    const ctx: CallContext = { traceId: newId(), door, clientAddress, clientPort, user, socket };
    try {
      if (perAddress !== undefined) await this.limits.checkMethod(method, perAddress, clientAddress);
      const hooked = await this.#before(name, ctx, request);
      // A request without fields cannot be refused by null (spec: http-auth-accounts.md, section 1.13).
      const isEmpty = entry.type.request.fields.length === 0;
      if (hooked === null && !isEmpty) throw notFound('Requested resource was not found.');
      const input = hooked ?? request;
      const response = await method.handler(ctx, input as never);
      await this.#after(name, ctx, response, input);
      return response;
    } catch (error) {
      throw this.#asAppError(error, name, ctx);
    }
  }

  /** Answers what goes back to the sender. Throws AppError; FatalMessageError when the socket has to end. */
  async callRealtime(socket: SocketSession, name: string, message: AnyMessage): Promise<RealtimeReply> {
    const method = this.registry.realtime(name);
    if (method === undefined) {
      throw new FatalMessageError(Code.INVALID_ARGUMENT, 'Unrecognized message.', {
        realtimeCode: RealtimeCode.UNRECOGNIZED_PAYLOAD,
      });
    }
    const { user, clientAddress, clientPort } = socket;
    this.limits.checkUser(user.id);
    const ctx: SocketCallContext = { traceId: newId(), door: 'socket', clientAddress, clientPort, user, socket };
    try {
      const hooked = await this.#beforeRealtime(name, ctx, message);
      const reply = await method.handler(ctx, hooked as never);
      await this.#after(name, ctx, typeof reply === 'object' ? reply : null, hooked);
      return reply;
    } catch (error) {
      throw this.#asAppError(error, name, ctx);
    }
  }

  /** Introduces a new socket to all features, unless it closes meanwhile. Throws AppError when it cannot be served. */
  async socketOpened(session: SocketSession, opening: SocketOpening): Promise<void> {
    for (const feature of this.#features) {
      if (session.closed) return;
      await feature.socketOpened?.(session, opening);
    }
  }

  /**
   * Takes a socket out of all features, last in first out; each gets its turn even if another fails.
   * @param reason why it ends, in words.
   */
  async socketClosed(session: SocketSession, reason: string): Promise<void> {
    for (const feature of this.#features.toReversed()) {
      try {
        await feature.socketClosed?.(session, reason);
      } catch (error) {
        this.#log.error({ err: error, sid: session.id, feature: feature.name }, 'clean-up after a socket failed');
      }
    }
  }

  async #before(name: string, ctx: CallContext, request: object): Promise<object | null> {
    const hook = this.#hooks.before(name);
    return hook === undefined ? request : hook(ctx, request);
  }

  async #beforeRealtime(name: string, ctx: CallContext, message: object): Promise<object> {
    let hooked: object | null;
    try {
      hooked = await this.#before(name, ctx, message);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new AppError(error instanceof AppError ? error.code : Code.UNKNOWN, text, {
        realtimeCode: RealtimeCode.RUNTIME_FUNCTION_EXCEPTION,
        cause: error,
      });
    }
    if (hooked !== null) return hooked;
    throw new FatalMessageError(Code.NOT_FOUND, 'Requested resource was not found.', {
      realtimeCode: RealtimeCode.UNRECOGNIZED_PAYLOAD,
    });
  }

  async #after(name: string, ctx: CallContext, response: object | null, request: object): Promise<void> {
    const hook: AfterHook | undefined = this.#hooks.after(name);
    if (hook === undefined) return;
    try {
      await hook(ctx, response, request);
    } catch (error) {
      this.#log.warn({ err: error, method: name, trace_id: ctx.traceId }, 'after hook failed');
    }
  }

  #asAppError(error: unknown, method: string, ctx: CallContext): AppError {
    const known =
      error instanceof AppError ? error : internal(`Internal server error, incident ${ctx.traceId}.`, error);
    if (known.isServerFault) {
      this.#log.error({ err: known.cause ?? known, method, trace_id: ctx.traceId, uid: ctx.user?.id }, known.message);
    }
    return known;
  }
}
