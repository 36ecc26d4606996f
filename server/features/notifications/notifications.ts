import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { newId, nilUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import { payload } from '../../wire/envelope.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import { notificationStream, type Streams } from '../streams/index.ts';
import type { Broadcast } from './broadcast.ts';
import { isBroadcastCode, isCustomCode } from './codes.ts';
import { listForServer, type NotificationPage } from './listing.ts';
import {
  deleteById,
  deletePairs,
  insertNotifications,
  insertParams,
  markRead,
  type NotificationRow,
  notificationsById,
  updateById,
} from './queries.ts';
import type { ToEverybody } from './to-everybody.ts';
import { type Notice, toLive } from './wire.ts';

export interface NewNotification extends Notice {
  readonly userId: string;
}

/** What to change of a stored notification; what is undefined stays. */
export interface NotificationChange {
  readonly id: string;
  readonly subject?: string | undefined;
  readonly content?: string | undefined;
  readonly senderId?: string | undefined;
}

interface Dependencies {
  readonly db: Database;
  readonly streams: Streams;
  readonly broadcast: Broadcast;
  readonly everybody: ToEverybody;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Most notifications in one call. */
const maxBatch = 10_000;
const maxSubjectCharacters = 255;

/** Notifications to users, stored or only for those who are online (spec: social.md, section 3). */
export class Notifications {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Stores what is persistent, all or nothing, then delivers everything to the users' sockets on all nodes; those of
   * one user arrive in one message, in the given order. Throws INVALID_ARGUMENT for what cannot be stored or an
   * unknown user, and then nobody gets anything; UNAVAILABLE when what is not stored cannot be delivered. Nobody waits
   * for the delivery of what is stored while it is out of reach. Codes are the caller's business.
   */
  async send(list: readonly NewNotification[]): Promise<void> {
    if (list.length === 0) return;
    if (list.length > maxBatch) throw invalidArgument(`Too many notifications, at most ${maxBatch} at once.`);
    for (const notification of list) checkNotice(notification);
    const sent = list.map((notification) => ({ ...notification, id: newId() }));
    await this.#store(sent.filter((notification) => notification.persistent));
    const now = Math.floor(this.#deps.clock.now() / 1000);
    const byUser = new Map<string, Init<nakama.api.Notification>[]>();
    for (const notification of sent) {
      const own = byUser.get(notification.userId);
      const wire = toLive(notification, notification.id, now);
      if (own === undefined) byUser.set(notification.userId, [wire]);
      else own.push(wire);
    }
    await Promise.all([...byUser].map(([userId, notifications]) => this.#deliver(userId, notifications)));
  }

  /** As `send`, for side effects of other calls: what goes wrong is logged, and not the caller's concern. */
  async sendBestEffort(list: readonly NewNotification[]): Promise<void> {
    try {
      await this.send(list);
    } catch (error) {
      this.#deps.log.warn({ err: error, code: list[0]?.code }, 'could not send notifications');
    }
  }

  /** As `send`, for game code: throws INVALID_ARGUMENT for codes that are the server's own. */
  async sendCustom(list: readonly NewNotification[]): Promise<void> {
    for (const { code } of list) if (!isCustomCode(code)) throw invalidArgument('expects code to number above 0');
    await this.send(list);
  }

  /**
   * To every user there is. What is not persistent reaches every open socket before this resolves. Persistent ones are
   * stored and delivered in the background, page by page, once to each, whatever becomes of this node.
   */
  async sendAll(notice: Notice): Promise<void> {
    if (!isBroadcastCode(notice.code)) throw invalidArgument('expects code to number above 0');
    checkNotice(notice);
    if (!notice.persistent) {
      await this.#deps.broadcast.publish(notice, [], [newId()]);
      return;
    }
    await this.#deps.everybody.begin(notice);
  }

  /**
   * The user's stored notifications, oldest first; the cursor is '' on the last page. Throws INVALID_ARGUMENT for a limit
   * outside 1-1000 and for a broken cursor.
   */
  async list(userId: string, limit: number, cursor: string): Promise<NotificationPage> {
    return listForServer(this.#deps.db, userId, limit, cursor);
  }

  /** Stored notifications by id, only the user's own when one is given; unknown ones are left out. */
  async get(ids: readonly string[], userId: string | null = null): Promise<NotificationRow[]> {
    return this.#deps.db.query(notificationsById, [ids, userId]);
  }

  /** Unknown ids, and those of others when a user is given, are ignored. */
  async delete(ids: readonly string[], userId: string | null = null): Promise<void> {
    await this.#deps.db.execute(deleteById, [ids, userId]);
  }

  /** Deletes each of these that belongs to the user named with it. */
  async deletePairs(pairs: readonly { readonly userId: string; readonly id: string }[]): Promise<void> {
    await this.#deps.db.execute(deletePairs, [pairs.map(({ userId }) => userId), pairs.map(({ id }) => id)]);
  }

  /** Changes stored notifications; unknown ids are ignored, and nobody is told. */
  async update(changes: readonly NotificationChange[]): Promise<void> {
    for (const { subject, content } of changes) {
      if (subject !== undefined) checkSubject(subject);
      if (content !== undefined) checkContent(content);
    }
    await this.#deps.db.execute(updateById, [
      changes.map(({ id }) => id),
      changes.map(({ subject }) => subject ?? null),
      changes.map(({ content }) => content ?? null),
      changes.map(({ senderId }) => (senderId === undefined ? null : senderId || nilUuid)),
    ]);
  }

  /** Marks the user's notifications as read, all of them when `ids` is null. */
  async markRead(userId: string, ids: readonly string[] | null): Promise<void> {
    await this.#deps.db.execute(markRead, [userId, ids]);
  }

  async #store(list: readonly (NewNotification & { readonly id: string })[]): Promise<void> {
    if (list.length === 0) return;
    try {
      await this.#deps.db.query(insertNotifications, insertParams(list));
    } catch (error) {
      if (violatedConstraint(error)?.endsWith('user_id_fkey')) throw invalidArgument('user not found');
      throw internalUnlessTransient(error, 'failed to send notifications');
    }
  }

  // What is stored will be found, even if it cannot be pushed now.
  async #deliver(userId: string, notifications: Init<nakama.api.Notification>[]): Promise<void> {
    const { streams } = this.#deps;
    const message = payload('notifications', { notifications });
    if (notifications.every(({ persistent }) => persistent)) await streams.tell(notificationStream(userId), message);
    else await streams.send(notificationStream(userId), message);
  }
}

function checkNotice({ subject, content, persistent }: Notice): void {
  if (subject === '') throw invalidArgument('expects subject to be a non-empty string');
  if (persistent) checkSubject(subject);
  checkContent(content);
}

function checkSubject(subject: string): void {
  if (subject.length > maxSubjectCharacters) {
    throw invalidArgument(`Notification subject must be at most ${maxSubjectCharacters} characters.`);
  }
}

function checkContent(content: string): void {
  if (!isJsonObject(content)) throw invalidArgument('Notification content must be a JSON object.');
}
