import { payload } from '../../wire/envelope.ts';
import { ack, type Method, realtime } from '../../wire/method.ts';
import type { Statuses } from './status.ts';

export function statusMethods(statuses: Statuses): Method[] {
  return [
    realtime('status_follow', async ({ socket }, { user_ids, usernames }) =>
      payload('status', { presences: await statuses.follow(socket, user_ids, usernames) }),
    ),
    realtime('status_unfollow', ({ socket }, { user_ids }) => {
      statuses.unfollow(socket, user_ids);
      return ack;
    }),
    realtime('status_update', async ({ socket }, { status }) => {
      await statuses.set(socket, status?.value ?? null);
      return ack;
    }),
  ];
}
