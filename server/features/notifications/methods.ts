import { internal, internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { api, type Method } from '../../wire/method.ts';
import { listForClient } from './listing.ts';
import type { Notifications } from './notifications.ts';
import { toListed } from './wire.ts';

const defaultLimit = 1;
const maxLimit = 100;

export function notificationMethods(notifications: Notifications, db: Database): Method[] {
  return [
    api('ListNotifications', { auth: 'session' }, async ({ user }, request) => {
      const limit = request.limit?.value ?? defaultLimit;
      if (limit < 1 || limit > maxLimit) {
        throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxLimit}.`);
      }
      const page = await listForClient(db, user.id, limit, request.cacheable_cursor);
      return {
        notifications: page.notifications.map(toListed),
        cacheable_cursor: page.cursor,
        unread_count: page.unread,
      };
    }),

    api('DeleteNotifications', { auth: 'session' }, async ({ user }, { ids }) => {
      const failed = 'Error while deleting notifications.';
      const own = ids.map((text) => parseUuid(text));
      // An internal error by contract (spec: social.md, section 3.5).
      if (!own.every((id) => id !== null)) throw internal(failed);
      if (own.length > 0) {
        await notifications.delete(own, user.id).catch((error) => {
          throw internalUnlessTransient(error, failed);
        });
      }
      return {};
    }),

    api('ReadNotifications', { auth: 'session' }, async ({ user }, { ids }) => {
      const own = ids.map((text) => parseUuid(text));
      if (!own.every((id) => id !== null)) throw invalidArgument('Notification ID must be a valid ID.');
      await notifications.markRead(user.id, own.length === 0 ? null : own);
      return {};
    }),
  ];
}
