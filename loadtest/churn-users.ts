import { bearer, request, serverKeyAuth, signIn } from '../server/testing/http.ts';
import { unique } from '../server/testing/names.ts';
import type { ProcessNode } from '../server/testing/process-node.ts';

/** A player who comes and goes. */
export interface ChurnUser {
  readonly id: string;
  readonly deviceId: string;
  token: string;
  refreshToken: string;
  /** When `token` was issued, `performance.now()`. */
  issuedAt: number;
  renewal: Promise<void> | undefined;
}

/** What the nodes are told about tokens: short lives, so that a run sees many of them end. */
export const lifetimes = { sessionSec: 45, refreshSec: 45 };

/**
 * Age at which a session token is renewed, and beyond which a refresh token is not relied on any more. What is left of
 * both is for the handshake, which takes its time on a busy machine.
 */
const renewMs = 10_000;
const refreshableMs = 15_000;

/** Signs the pool in, once. */
export async function signInPool(nodes: readonly ProcessNode[], count: number): Promise<ChurnUser[]> {
  const users: ChurnUser[] = [];
  while (users.length < count) {
    const node = nodes[users.length % nodes.length] as ProcessNode;
    const { id, deviceId, token, refreshToken } = await signIn(node, { deviceId: unique('churn-device') });
    users.push({ id, deviceId, token, refreshToken, issuedAt: performance.now(), renewal: undefined });
  }
  return users;
}

/** A token that is good for some seconds, renewed when it has to be. */
export async function tokenOf(user: ChurnUser, node: ProcessNode): Promise<string> {
  if (performance.now() - user.issuedAt > renewMs) {
    user.renewal ??= renew(user, node).finally(() => {
      user.renewal = undefined;
    });
    await user.renewal;
  }
  return user.token;
}

async function renew(user: ChurnUser, node: ProcessNode): Promise<void> {
  const issuedAt = performance.now();
  if (issuedAt - user.issuedAt > refreshableMs) {
    const { token, refreshToken } = await signIn(node, { deviceId: user.deviceId });
    Object.assign(user, { token, refreshToken, issuedAt });
    return;
  }
  const reply = await request(node, 'POST', '/v2/account/session/refresh', {
    authorization: serverKeyAuth,
    body: { token: user.refreshToken },
  });
  if (reply.status !== 200) throw new Error(`refresh ${reply.status} ${reply.text}`);
  Object.assign(user, { token: reply.body.token, refreshToken: reply.body.refresh_token, issuedAt });
}

/** A login of its own, and the end of it: both leave rows and entries that live as long as the tokens would have. */
export async function loginOf(
  user: ChurnUser,
  node: ProcessNode,
): Promise<{ token: string; logout: () => Promise<void> }> {
  const { token, refreshToken } = await signIn(node, { deviceId: user.deviceId });
  const logout = async (): Promise<void> => {
    const body = { token, refresh_token: refreshToken };
    const reply = await request(node, 'POST', '/v2/session/logout', { authorization: bearer(token), body });
    if (reply.status !== 200) throw new Error(`logout ${reply.status} ${reply.text}`);
  };
  return { token, logout };
}
