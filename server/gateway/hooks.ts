import type { CallContext } from '../wire/method.ts';

/**
 * What studio code may do around a call. The gateway calls this port; runtime code implements it.
 * Names are those of proto/: `GetAccount` for API methods, `channel_join` for realtime messages.
 */
export interface Hooks {
  /**
   * The hook that runs after authentication and before the handler, if there is one. It returns the request to go on
   * with, or null to refuse the call (API: NOT_FOUND, but requests without fields go on; realtime: the socket is
   * closed). It throws to fail the call.
   */
  before(name: string): BeforeHook | undefined;
  /** The hook that runs after a successful handler. Its result and its errors do not reach the caller. */
  after(name: string): AfterHook | undefined;
}

export type BeforeHook = (ctx: CallContext, request: object) => Promise<object | null>;
export type AfterHook = (ctx: CallContext, response: object | null, request: object) => Promise<void>;

export const noHooks: Hooks = { before: () => undefined, after: () => undefined };
