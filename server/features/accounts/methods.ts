import type { PresenceTracker } from '../../cluster/presence.ts';
import { invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import { api, type Method } from '../../wire/method.ts';
import type { Accounts } from './accounts.ts';
import type { Links } from './links.ts';
import { onlineFlags } from './online.ts';
import { toAccount, toUser } from './wire.ts';

export function accountMethods(accounts: Accounts, links: Links, presence: PresenceTracker): Method[] {
  const online = (userIds: readonly string[]): Promise<boolean[]> => onlineFlags(presence, userIds);

  return [
    api('GetAccount', { auth: 'session' }, async ({ user }) => {
      const row = await accounts.get(user.id);
      const [isOnline] = await online([user.id]);
      return toAccount(row, isOnline === true);
    }),

    api('UpdateAccount', { auth: 'session' }, async ({ user }, request) => {
      await accounts.update(user.id, {
        username: request.username?.value,
        displayName: request.display_name?.value,
        avatarUrl: request.avatar_url?.value,
        langTag: request.lang_tag?.value,
        location: request.location?.value,
        timezone: request.timezone?.value,
      });
      return {};
    }),

    api('GetUsers', { auth: 'session' }, async (_ctx, request) => {
      const ids = request.ids.map((text) => {
        const id = parseUuid(text);
        if (id === null) throw invalidArgument(`ID '${text}' is not a valid system ID.`);
        return id;
      });
      const rows = await accounts.find(ids, request.usernames, request.facebook_ids);
      const flags = await online(rows.map((row) => row.id));
      return { users: rows.map((row, index) => toUser(row, flags[index] === true)) };
    }),

    api('LinkDevice', { auth: 'session' }, async ({ user }, { id }) => {
      await links.linkDevice(user.id, id);
      return {};
    }),
    api('LinkCustom', { auth: 'session' }, async ({ user }, { id }) => {
      await links.linkCustomId(user.id, id);
      return {};
    }),
    api('LinkEmail', { auth: 'session' }, async ({ user }, { email, password }) => {
      await links.linkEmail(user.id, email, password);
      return {};
    }),
    api('UnlinkDevice', { auth: 'session' }, async ({ user }, { id }) => {
      await links.unlinkDevice(user.id, id);
      return {};
    }),
    api('UnlinkCustom', { auth: 'session' }, async ({ user }, { id }) => {
      await links.unlinkCustomId(user.id, id);
      return {};
    }),
    api('UnlinkEmail', { auth: 'session' }, async ({ user }, { email }) => {
      await links.unlinkEmail(user.id, email);
      return {};
    }),
  ];
}
