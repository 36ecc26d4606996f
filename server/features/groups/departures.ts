import type { Logger } from 'pino';
import { within } from '../../platform/within.ts';
import type { Database } from '../../store/database.ts';
import { groupChannel } from '../chat/index.ts';
import type { Streams } from '../streams/index.ts';
import { findMember } from './queries.ts';

/** Between two attempts to take somebody off a channel. */
const retryMs = 500;
/** Departures that may wait for that; whoever is not among them is off the channel when the socket ends. */
const maxWaiting = 10_000;
/** Users who are taken off a channel at a time. */
const batchSize = 50;
/** How long a caller waits for those who left to be off the channel: the message that says so ends their hearing. */
const leaveWaitMs = 250;

/** Who has to go; nobody in particular when the group has ended. */
interface Departure {
  readonly groupId: string;
  readonly userId: string | null;
}

interface Dependencies {
  readonly db: Database;
  readonly streams: Streams;
  readonly log: Logger;
}

/**
 * Takes users off the channels of groups that they do not belong to any more, on every node. While presences are out of
 * reach it keeps trying: the membership has ended, and there is no caller to tell.
 */
export class Departures {
  readonly #deps: Dependencies;
  readonly #waiting = new Map<string, Departure>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Those who stay are told that they left. Waits no longer than `leaveWaitMs`, and never rejects. */
  async leave(groupId: string, userIds: readonly string[]): Promise<void> {
    if (userIds.length > 0) await within(leaveWaitMs, this.#leave(groupId, userIds));
  }

  async #leave(groupId: string, userIds: readonly string[]): Promise<void> {
    for (let at = 0; at < userIds.length; at += batchSize) {
      const batch = userIds.slice(at, at + batchSize);
      await Promise.all(batch.map((userId) => this.#start({ groupId, userId })));
    }
  }

  /** The group has ended: everybody goes, and nobody is told. */
  async end(groupId: string): Promise<void> {
    await this.#start({ groupId, userId: null });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #start(departure: Departure): Promise<void> {
    try {
      await this.#remove(departure);
    } catch (error) {
      this.#deps.log.warn({ err: error, group: departure.groupId }, 'could not take users off a group channel yet');
      if (this.#waiting.size < maxWaiting) this.#waiting.set(`${departure.groupId}.${departure.userId}`, departure);
      this.#schedule();
    }
  }

  async #remove({ groupId, userId }: Departure): Promise<void> {
    const { stream } = groupChannel(groupId);
    if (userId === null) await this.#deps.streams.empty(stream);
    else await this.#deps.streams.removeUser(stream, userId);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isClosed || this.#waiting.size === 0) return;
    this.#timer = setTimeout(async () => {
      await this.#retryAll().catch(() => undefined);
      this.#timer = undefined;
      this.#schedule();
    }, retryMs);
  }

  // Gives up for this time with the first that fails.
  async #retryAll(): Promise<void> {
    for (const [key, departure] of [...this.#waiting]) {
      // Whoever has come back meanwhile may stay.
      if (!(await this.#isBack(departure))) await this.#remove(departure);
      this.#waiting.delete(key);
    }
  }

  async #isBack({ groupId, userId }: Departure): Promise<boolean> {
    return userId !== null && (await this.#deps.db.query(findMember, [groupId, userId])).length > 0;
  }
}
