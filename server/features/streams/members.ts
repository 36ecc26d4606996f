import type { Presence } from '../../cluster/presence.ts';
import type { PresenceEvent } from '../../cluster/stream-frame.ts';
import { SmallSet } from '../../platform/small.ts';
import type { SocketSession } from '../../wire/session.ts';

/**
 * The sessions of this node that are on one stream, as its fan-out has them. They are here before their presence is
 * known to others, and follow from then on what happens to that.
 */
export class Members implements Iterable<SocketSession> {
  readonly #present = new SmallSet<SocketSession>();
  /** Those whose join is under way. */
  readonly #joining = new SmallSet<SocketSession>();
  /** Where they came, in the stream's order. */
  #entries: WeakMap<SocketSession, bigint> | undefined;
  /** Sessions that are off the stream whatever is heard of their presence: they left, or their user did. */
  #gone: WeakSet<SocketSession> | undefined;

  [Symbol.iterator](): Iterator<SocketSession> {
    return this.#present[Symbol.iterator]();
  }

  /** Nobody is here, nor about to come. */
  get isEmpty(): boolean {
    return this.#present.size + this.#joining.size === 0;
  }

  has(session: SocketSession): boolean {
    return this.#present.has(session);
  }

  add(session: SocketSession): void {
    this.#present.add(session);
  }

  delete(session: SocketSession): void {
    this.#present.delete(session);
  }

  /**
   * The session is here, and its presence about to be made known.
   * @param entry as in `Streams.join`; undefined leaves it alone
   */
  startJoin(session: SocketSession, entry: bigint | undefined): void {
    this.#present.add(session);
    this.#joining.add(session);
    this.#gone?.delete(session);
    if (entry === undefined) return;
    this.#entries ??= new WeakMap();
    this.#entries.set(session, entry);
  }

  endJoin(session: SocketSession): void {
    this.#joining.delete(session);
  }

  /** The session will not be here, even if its presence is announced once more, until it joins anew. */
  markGone(session: SocketSession): void {
    this.#gone ??= new WeakSet();
    this.#gone.add(session);
  }

  /** Those for whom a message at that place is the last one, if it is so for their user: who came later, stays. */
  leaving(userId: string, time: bigint): SocketSession[] {
    return [...this.#present].filter(
      (session) => session.user.id === userId && (this.#entries?.get(session) ?? 0n) < time,
    );
  }

  /**
   * Who came and went by an event, on whichever node that was decided: a kick, a sweep, or a join that crossed with the
   * removal of a former presence.
   */
  changedBy(
    { joins, leaves }: PresenceEvent,
    sessionOf: (sessionId: string) => SocketSession | undefined,
  ): { readonly left: SocketSession[]; readonly came: SocketSession[] } {
    const sessions = (presences: readonly Presence[]): SocketSession[] =>
      presences.flatMap(({ sessionId }) => sessionOf(sessionId) ?? []);
    const joined = new Set(sessions(joins));
    return {
      left: sessions(leaves).filter((session) => this.#present.has(session) && !joined.has(session)),
      came: [...joined].filter((session) => !this.#present.has(session) && this.#gone?.has(session) !== true),
    };
  }

  /**
   * Begins a look at all presences of the stream; with their list it answers who is not on it any more. Whoever was
   * joining meanwhile may not have been on the list yet.
   */
  startLook(): (presences: readonly Presence[]) => SocketSession[] {
    const joining = new Set(this.#joining);
    return (presences) => {
      const ids = new Set(presences.map(({ sessionId }) => sessionId));
      const isMissing = (session: SocketSession): boolean =>
        !ids.has(session.id) && !joining.has(session) && !this.#joining.has(session);
      return [...this.#present].filter(isMissing);
    };
  }
}
