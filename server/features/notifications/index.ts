import { subsystem } from '../../platform/log.ts';
import { exportRows } from '../export-items.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Sockets } from '../sessions/index.ts';
import type { Streams } from '../streams/index.ts';
import { Broadcast } from './broadcast.ts';
import { notificationMethods } from './methods.ts';
import { Notifications } from './notifications.ts';
import { forgetSender, notificationsOfUser } from './queries.ts';
import { ToEverybody } from './to-everybody.ts';
import { toListed } from './wire.ts';

export { NotificationCode } from './codes.ts';
export type { NotificationPage } from './listing.ts';
export type { NewNotification, NotificationChange, Notifications } from './notifications.ts';
export type { NotificationRow } from './queries.ts';
export type { Notice } from './wire.ts';

export interface NotificationsFeature extends Feature {
  readonly notifications: Notifications;
}

/** Messages to users, whether they are online or not. */
export function createNotifications(
  kit: FeatureKit,
  { streams, sockets, jobs }: { streams: Streams; sockets: Sockets; jobs: Jobs },
): NotificationsFeature {
  const { db, bus, clock } = kit;
  const broadcast = new Broadcast(bus, sockets, clock);
  const log = subsystem(kit.log, 'notifications');
  const everybody = new ToEverybody(db, jobs, broadcast, log);
  jobs.define(everybody);
  const notifications = new Notifications({ db, streams, broadcast, everybody, clock, log });
  const items = (userId: string): AsyncIterable<string> =>
    exportRows(db, notificationsOfUser, userId, 'nakama.api.Notification', toListed);
  return {
    name: 'notifications',
    methods: notificationMethods(notifications, db),
    userData: {
      async erase(tx, userId) {
        // First: what a page stores until then is seen by the next statement.
        await everybody.forgetSender(tx, userId);
        await tx.execute(forgetSender, [userId]);
      },
      lists: [{ key: 'notifications', items }],
    },
    notifications,
    async start() {
      await broadcast.start();
    },
    async stop() {
      await broadcast.stop();
    },
  };
}
