import { StreamMode } from '../../cluster/stream.ts';
import { internalUnlessTransient, invalidArgument, resourceExhausted } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import { payload } from '../../wire/envelope.ts';
import type { SocketSession } from '../../wire/session.ts';
import type { Accounts } from '../accounts/index.ts';
import { type Streams, statusStream, toWirePresence, type WirePresence } from '../streams/index.ts';

const maxStatusBytes = 2048;

/** Online status and its followers (spec: realtime.md, section 11). Follows live as long as the socket. */
export class Statuses {
  readonly #streams: Streams;
  readonly #accounts: Accounts;
  readonly #maxFollows: number;
  /** Of sockets that ever followed somebody. */
  readonly #follows = new Map<SocketSession, Set<string>>();

  constructor(streams: Streams, accounts: Accounts, maxFollows: number) {
    this.#streams = streams;
    this.#accounts = accounts;
    this.#maxFollows = maxFollows;
    streams.describe(StreamMode.STATUS, 'watchers', (_stream, joins, leaves) =>
      payload('status_presence_event', { joins, leaves }),
    );
  }

  /** A new socket follows its own user, then appears online if it asked to. */
  async opened(session: SocketSession, appearOnline: boolean): Promise<void> {
    await this.#streams.watch(session, statusStream(session.user.id));
    if (appearOnline) await this.set(session, '');
  }

  closed(session: SocketSession): void {
    this.#follows.delete(session);
  }

  /**
   * Follows users by id or exact username; answers their present statuses. Unknown users, the system user and oneself
   * are skipped. Throws INVALID_ARGUMENT for anything malformed, and then follows nobody.
   */
  async follow(
    session: SocketSession,
    userIds: readonly string[],
    usernames: readonly string[],
  ): Promise<WirePresence[]> {
    const ids = userIds.map((text) => parseUuid(text) ?? refuse('Invalid user identifier'));
    if (usernames.includes('')) throw invalidArgument('Invalid username');
    const users = await this.#accounts.find(ids, usernames, []).catch((error) => {
      throw internalUnlessTransient(error, 'Could not check users');
    });
    const targets = users.map((user) => user.id).filter((id) => id !== session.user.id && id !== nilUuid);
    const follows = this.#follows.get(session) ?? new Set();
    if (follows.size + targets.filter((id) => !follows.has(id)).length > this.#maxFollows) {
      throw resourceExhausted(`Too many followed users, at most ${this.#maxFollows} per socket.`);
    }
    for (const id of targets) follows.add(id);
    if (follows.size > 0 && !session.closed) this.#follows.set(session, follows);
    const streams = targets.map(statusStream);
    // Watching first: whoever is not in the list yet will arrive as an event.
    await Promise.all(streams.map((stream) => this.#streams.watch(session, stream)));
    const presences = (await this.#streams.presencesOf(streams)).flat();
    return presences.filter((presence) => !presence.hidden).map(toWirePresence);
  }

  /** Stops following; users that were not followed are ignored, and nobody can stop following themselves. */
  unfollow(session: SocketSession, userIds: readonly string[]): void {
    const ids = userIds.map((text) => parseUuid(text) ?? refuse('Invalid user identifier'));
    for (const id of ids) {
      if (this.#follows.get(session)?.delete(id)) this.#streams.unwatch(session, statusStream(id));
    }
  }

  /** Appears online with this text, which may be empty; null appears offline. */
  async set(session: SocketSession, status: string | null): Promise<void> {
    const stream = statusStream(session.user.id);
    if (status === null) {
      await this.#streams.leave(session, stream);
      return;
    }
    if (Buffer.byteLength(status) > maxStatusBytes) refuse('Status must be 2048 characters or less');
    await this.#streams.update(session, stream, { hidden: false, persistence: false, status }).catch((error) => {
      throw internalUnlessTransient(error, 'Error tracking status update');
    });
  }
}

function refuse(message: string): never {
  throw invalidArgument(message);
}
