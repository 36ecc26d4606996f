import type { Init, nakama } from '../../wire/generated/messages.js';
import { api, type Method, type Rate } from '../../wire/method.ts';
import type { Authentication, Login, SignInRequest } from './authenticate.ts';

// Each check costs about half a second of one core; the queue behind it has its own limit.
const passwordRate: Rate = { perSecond: 20, burst: 200 };

export function authMethods(auth: Authentication): Method[] {
  return [
    api('AuthenticateDevice', { auth: 'server_key' }, async (_ctx, request) =>
      toSession(await auth.withDevice(request.account?.id ?? '', toSignIn(request))),
    ),
    api('AuthenticateCustom', { auth: 'server_key' }, async (_ctx, request) =>
      toSession(await auth.withCustomId(request.account?.id ?? '', toSignIn(request))),
    ),
    api('AuthenticateEmail', { auth: 'server_key', perAddress: passwordRate }, async (ctx, request) => {
      const { email = '', password = '' } = request.account ?? {};
      return toSession(await auth.withEmail(email, password, toSignIn(request), ctx.clientAddress));
    }),
    api('SessionRefresh', { auth: 'server_key' }, async (_ctx, { token, vars }) =>
      toSession(await auth.refresh(token, vars)),
    ),
    api('SessionLogout', { auth: 'session' }, async ({ user }, { token, refresh_token }) => {
      await auth.logout(user.id, token, refresh_token);
      return {};
    }),
  ];
}

/** What all sign-in messages have in common. */
interface SignInMessage {
  account: { vars: { [key: string]: string } } | null;
  create: { value: boolean } | null;
  username: string;
}

export function toSignIn({ account, create, username }: SignInMessage): SignInRequest {
  return { create: create?.value ?? true, username, vars: account?.vars ?? {} };
}

export function toSession(login: Login): Init<nakama.api.Session> {
  return { created: login.created, token: login.token, refresh_token: login.refreshToken };
}
