import { AppError, alreadyExists, Code } from '../platform/errors.ts';
import { SmallMap, SmallSet } from '../platform/small.ts';
import { maxSessionPresences, presenceKey } from './presence.ts';

/** A presence of one of this node's sessions. */
export interface Held {
  readonly session: HeldSession;
  /** The stream's key. */
  readonly key: string;
  /** Its presenceKey. */
  readonly id: string;
  /** What Redis has, as far as this node knows; undefined while it has nothing. */
  value: Buffer | undefined;
  /** When that was so. */
  stamp: number;
  /** What was sent last: Redis may have had it. */
  sent: Buffer | undefined;
  /** Commands under way. */
  pending: number;
  /** The turn of the last write that has put it there. */
  placed: number;
  /** The turn of an untrack that Redis may not have heard of, and that is still to be done; 0 when there is none. */
  leaving: number;
}

export interface HeldSession {
  readonly id: string;
  /** Of the node, when the session was opened, or when it was taken over into the next one. */
  epoch: number;
  open: boolean;
  readonly held: SmallSet<Held>;
}

/**
 * What the sessions of one node hold: with it the node can write everything again when Redis has lost it. A presence is
 * entered before it is written, so that whatever may have reached Redis is known here. News are ordered by the stamps
 * of Redis, since replies and notices come on two connections.
 */
export class HeldPresences {
  readonly #sessions = new Map<string, HeldSession>();
  readonly #streams = new Map<string, SmallMap<Held>>();
  /** Redis may have something else than `value` says: a reply got lost. */
  readonly #doubtful = new Set<Held>();
  #count = 0;
  #lastStamp = 0;
  #turns = 0;

  get count(): number {
    return this.#count;
  }

  /** The highest stamp seen. */
  get lastStamp(): number {
    return this.#lastStamp;
  }

  open(sessionId: string, epoch: number): void {
    if (this.#sessions.has(sessionId)) throw alreadyExists('session is open already');
    this.#sessions.set(sessionId, { id: sessionId, epoch, open: true, held: new SmallSet() });
  }

  /** What the session held; nobody else will find it here. */
  close(sessionId: string): HeldSession | undefined {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return undefined;
    session.open = false;
    this.#sessions.delete(sessionId);
    for (const held of session.held) {
      this.#drop(held);
      this.#doubtful.delete(held);
      if (held.value !== undefined) this.#count--;
    }
    return session;
  }

  /** Closes all sessions of that epoch and of older ones: they were swept. */
  end(epoch: number): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.epoch <= epoch) this.close(session.id);
    }
  }

  /** All open sessions live on in this epoch. */
  adopt(epoch: number): void {
    for (const session of this.#sessions.values()) session.epoch = epoch;
  }

  /** Enters what is about to be written, unless one of it may not be. Each one is to be released afterwards. */
  enter(presences: readonly { key: string; sessionId: string; userId: string }[]): Held[] {
    const added = new Map<string, Set<string>>();
    for (const { key, sessionId, userId } of presences) {
      const session = this.#sessions.get(sessionId);
      if (session === undefined) throw notOpen();
      const id = presenceKey({ sessionId, userId });
      if (this.get(key, id) !== undefined) continue;
      const ids = added.get(sessionId) ?? new Set();
      added.set(sessionId, ids.add(`${key} ${id}`));
      if (session.held.size + ids.size > maxSessionPresences) throw tooManyStreams();
    }
    return presences.map(({ key, sessionId, userId }) => {
      const session = this.#sessions.get(sessionId) as HeldSession;
      const held = this.#find(session, key, presenceKey({ sessionId, userId }));
      held.pending++;
      return held;
    });
  }

  /** What is asked later has a higher one. */
  nextTurn(): number {
    return ++this.#turns;
  }

  /** What was asked in that turn has put it there. */
  place(held: Held, turn: number): void {
    held.placed = Math.max(held.placed, turn);
    if (held.placed > held.leaving) held.leaving = 0;
  }

  /**
   * What was asked in that turn could not take it away, and is to be made up for. Tells whether it is there; undefined
   * if the session is none of this node.
   */
  leave(sessionId: string, key: string, id: string, turn: number): boolean | undefined {
    if (!this.#sessions.has(sessionId)) return undefined;
    const held = this.get(key, id);
    if (held !== undefined && turn > held.placed) held.leaving = turn;
    return held?.value !== undefined;
  }

  /** A command for it is under way. To be released afterwards. */
  retain(held: Held): void {
    held.pending++;
  }

  /** A command for it is no longer under way. */
  release(held: Held): void {
    held.pending--;
    this.#tidy(held);
  }

  get(key: string, id: string): Held | undefined {
    return this.#streams.get(key)?.get(id);
  }

  /** What Redis had at that stamp. Older news are of no interest. */
  learn(held: Held, value: Buffer | undefined, stamp: number): void {
    this.#lastStamp = Math.max(this.#lastStamp, stamp);
    this.#doubtful.delete(held);
    if (stamp >= held.stamp) {
      if (held.session.open) this.#count += Number(value !== undefined) - Number(held.value !== undefined);
      held.value = value;
      held.stamp = stamp;
      if (value === undefined) held.leaving = 0;
    }
    this.#tidy(held);
  }

  doubt(held: Held): void {
    if (held.session.open) this.#doubtful.add(held);
  }

  isDoubtful(held: Held): boolean {
    return this.#doubtful.has(held);
  }

  /** They are off the stream since that stamp; without ids: everybody. */
  gone(key: string, ids: readonly string[] | undefined, stamp: number): void {
    this.#lastStamp = Math.max(this.#lastStamp, stamp);
    const stream = this.#streams.get(key);
    for (const id of ids ?? [...(stream?.keys() ?? [])]) {
      const held = stream?.get(id);
      if (held !== undefined && stamp > held.stamp) this.learn(held, undefined, stamp);
    }
  }

  /** Redis counts anew from that stamp. */
  restart(stamp: number): this {
    this.#lastStamp = stamp;
    for (const held of this.#all()) held.stamp = 0;
    return this;
  }

  /** Everything that belongs to that epoch, stream by stream. */
  ofEpoch(epoch: number): Held[] {
    return this.#all().filter(({ session }) => session.epoch === epoch);
  }

  beforeEpoch(epoch: number): Held[] {
    return this.#all().filter(({ session }) => session.epoch < epoch);
  }

  /** How many this node holds on the stream, as far as it knows. */
  countOn(key: string): number {
    return [...(this.#streams.get(key)?.values() ?? [])].filter(({ value }) => value !== undefined).length;
  }

  #all(): Held[] {
    return [...this.#streams.values()].flatMap((stream) => [...stream.values()]);
  }

  #find(session: HeldSession, key: string, id: string): Held {
    const known = this.get(key, id);
    if (known !== undefined) return known;
    const held: Held = {
      session,
      key,
      id,
      value: undefined,
      stamp: 0,
      sent: undefined,
      pending: 0,
      placed: 0,
      leaving: 0,
    };
    session.held.add(held);
    const stream = this.#streams.get(key);
    if (stream === undefined) this.#streams.set(key, new SmallMap<Held>().set(id, held));
    else stream.set(id, held);
    return held;
  }

  #tidy(held: Held): void {
    if (!held.session.open || held.value !== undefined || held.pending > 0 || this.#doubtful.has(held)) return;
    held.session.held.delete(held);
    this.#drop(held);
  }

  #drop(held: Held): void {
    const stream = this.#streams.get(held.key);
    if (stream?.get(held.id) !== held) return;
    stream.delete(held.id);
    if (stream.size === 0) this.#streams.delete(held.key);
  }
}

export const notOpen = (): AppError => new AppError(Code.FAILED_PRECONDITION, 'session is not open');

const tooManyStreams = (): AppError =>
  new AppError(Code.RESOURCE_EXHAUSTED, `a session may be on ${maxSessionPresences} streams`, { retry: 'no' });
