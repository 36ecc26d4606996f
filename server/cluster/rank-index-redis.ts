import { randomBytes } from 'node:crypto';
import type { NodeDirectory, NodeId } from './nodes.ts';
import type {
  ApplyReply,
  ChangeResult,
  KnownIndex,
  RankChange,
  RankEntry,
  RankIndex,
  RankSet,
  SeenEntry,
  Standings,
} from './rank-index.ts';
import {
  decodeMember,
  decodeOwner,
  decodeSeen,
  decodeSet,
  encodeBoard,
  encodeEntry,
  encodeOwner,
  encodeSet,
  encodeVersion,
  ownerBytes,
} from './rank-index-redis-codec.ts';
import { maxTombstones, tombstoneMs } from './rank-index-redis-lua.ts';
import { type AllKeys, type Keys, type Scripted, scripted } from './rank-index-redis-scripts.ts';
import type { RedisLink } from './redis-link.ts';

export interface RankIndexLimits {
  /** Sets whose announcement a node remembers; the others are announced again, and stay announced. */
  readonly announced: number;
  /** An announcement that was not needed for that long is withdrawn: longer than any transaction lasts. */
  readonly announcedMs: number;
  /** Owners that are looked up in one step: less than a millisecond of Redis. */
  readonly owners: number;
  /** Sets that are handled by one step of a sweep, of a withdrawal or of the removal of ended periods. */
  readonly page: number;
  /** How long an index remembers that a record was removed. */
  readonly tombstoneMs: number;
  /** Removed records that an index remembers; with more of them it is dropped. */
  readonly tombstones: number;
}

export const rankIndexLimits: RankIndexLimits = {
  announced: 10_000,
  announcedMs: 60_000,
  owners: 200,
  page: 100,
  tombstoneMs,
  tombstones: maxTombstones,
};

interface Announced extends KnownIndex {
  usedAt: number;
  /** As whom, since the node's epoch may change. */
  readonly writer: string;
}

/** Rank indexes in Redis; rank-index-redis-lua.ts tells what it keeps there. */
export class RedisRankIndex implements RankIndex {
  readonly #link: RedisLink;
  readonly #nodes: Pick<NodeDirectory, 'self'>;
  readonly #limits: RankIndexLimits;
  /** Most recently used last. */
  readonly #announced = new Map<string, Announced>();
  readonly #announcing = new Map<string, Promise<KnownIndex>>();
  readonly #lostListeners: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(link: RedisLink, nodes: Pick<NodeDirectory, 'self'>, limits: Partial<RankIndexLimits> = {}) {
    this.#link = link;
    this.#nodes = nodes;
    this.#limits = { ...rankIndexLimits, ...limits };
    link.onLost(() => {
      this.#announced.clear();
      for (const listener of this.#lostListeners) listener();
    });
    this.#timer = setInterval(() => void this.#withdrawIdle().catch(() => undefined), this.#limits.announcedMs / 6);
    this.#timer.unref();
  }

  get isUp(): boolean {
    return this.#link.isUp;
  }

  /** Withdraws what was announced: nothing is under way any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#announced.clear();
    if (this.isUp)
      await this.#link.run((redis) => redis.del(this.#writersKey(this.#nodes.self))).catch(() => undefined);
  }

  onLost(listener: () => void): void {
    this.#lostListeners.push(listener);
  }

  async announce(set: RankSet): Promise<KnownIndex> {
    const name = encodeSet(set);
    const writer = writerOf(this.#nodes.self);
    const known = this.#announced.get(name);
    if (known?.writer === writer) {
      known.usedAt = performance.now();
      return known;
    }
    const key = `${writer}/${name}`;
    let announcing = this.#announcing.get(key);
    if (announcing === undefined) {
      announcing = this.#announce(name, writer).finally(() => this.#announcing.delete(key));
      this.#announcing.set(key, announcing);
    }
    return announcing;
  }

  async #announce(name: string, writer: string): Promise<KnownIndex> {
    let instance = '';
    const incarnation = await this.#run((redis) => {
      instance = this.#link.instance;
      return redis.ranksAnnounce(...this.#keys(name), this.#link.key(`ranks:writers:${writer}`), instance, name);
    });
    const now = performance.now();
    const known: Announced = { incarnation, since: now, usedAt: now, writer };
    // What was noted in a Redis that has lost it since is worth nothing, so it is not remembered.
    if (instance === this.#link.instance && writer === writerOf(this.#nodes.self)) this.#remember(name, known);
    return known;
  }

  async apply(
    set: RankSet,
    incarnation: string,
    changes: readonly RankChange[],
    descending: boolean,
  ): Promise<ApplyReply> {
    const name = encodeSet(set);
    const { tombstoneMs: keptMs, tombstones } = this.#limits;
    const [state, detail, ...results] = await this.#run((redis) =>
      redis.ranksApplyBuffer(
        ...this.#keys(name),
        this.#link.instance,
        incarnation,
        descending ? '1' : '0',
        keptMs,
        tombstones,
        ...changes.flatMap(encodeChange),
      ),
    );
    switch (String(state)) {
      case 'applied':
        return { state: 'applied', isReady: detail === 1, results: results.map(toResult) };
      case 'moved':
        this.#forget(name, String(detail));
        return { state: 'moved' };
      default:
        this.#forget(name, '');
        return { state: 'absent' };
    }
  }

  async standings(set: RankSet, owners: readonly string[], descending: boolean): Promise<Standings | null> {
    const keys = this.#keys(encodeSet(set));
    const found = new Map<string, bigint>();
    let count = 0;
    let start = 0;
    do {
      const part = owners.slice(start, start + this.#limits.owners);
      const ids = part.map(encodeOwner);
      const reply = await this.#run((redis) =>
        redis.ranksStandings(...keys, this.#link.instance, descending ? '1' : '0', ...ids),
      );
      if (reply === null) return null;
      const [entries = 0, ...ranks] = reply;
      count = entries;
      for (const [i, owner] of part.entries()) if (ranks[i]) found.set(owner, BigInt(ranks[i]));
      start += part.length;
    } while (start < owners.length);
    return { count: BigInt(count), ranks: found };
  }

  async count(set: RankSet): Promise<bigint | null> {
    return (await this.standings(set, [], false))?.count ?? null;
  }

  async at(set: RankSet, rank: bigint, descending: boolean): Promise<string | undefined | null> {
    if (rank < 1n) return undefined;
    const members = await this.#slice(set, rank - 1n, rank - 1n, descending);
    if (members === null) return null;
    return members[0] === undefined ? undefined : decodeOwner(members[0].subarray(-ownerBytes));
  }

  async begin(set: RankSet, leaseMs: number): Promise<string | null> {
    const name = encodeSet(set);
    const incarnation = randomBytes(12).toString('base64url');
    const keys = [...this.#allKeys(set, name), this.#link.key('marker')] as const;
    const begun = await this.#run((redis) =>
      redis.ranksBegin(...keys, this.#link.instance, incarnation, leaseMs, name, set.expiry),
    );
    if (begun !== 1) return null;
    this.#forget(name, incarnation);
    return incarnation;
  }

  async load(set: RankSet, incarnation: string, entries: readonly RankEntry[], leaseMs: number): Promise<boolean> {
    if (entries.length === 0) return true;
    const args = entries.flatMap((entry) => [encodeOwner(entry.owner), encodeEntry(entry)]);
    const loaded = await this.#run((redis) =>
      redis.ranksLoad(...this.#keys(encodeSet(set)), this.#link.instance, incarnation, leaseMs, ...args),
    );
    return loaded === 1;
  }

  async finish(set: RankSet, incarnation: string): Promise<boolean> {
    const keys = this.#keys(encodeSet(set));
    return (await this.#run((redis) => redis.ranksFinish(...keys, this.#link.instance, incarnation))) === 1;
  }

  async abandon(set: RankSet, incarnation: string): Promise<void> {
    const keys = this.#keys(encodeSet(set));
    await this.#run((redis) => redis.ranksAbandon(...keys, this.#link.instance, incarnation));
  }

  async drop(set: RankSet): Promise<void> {
    const name = encodeSet(set);
    await this.#run((redis) => redis.ranksDrop(...this.#allKeys(set, name), this.#link.instance, name, set.expiry));
    this.#forget(name, '');
  }

  async dropBoard(board: string): Promise<void> {
    const ends = await this.#run((redis) => redis.smembers(this.#boardKey(board)));
    // The period without end is there most of the time, and if not it costs nothing.
    for (const expiry of new Set([0, ...ends.map(Number)])) await this.drop({ board, expiry });
  }

  async dropAll(): Promise<void> {
    for (;;) {
      const names = await this.#run((redis) => redis.zrange(this.#setsKey(), 0, this.#limits.page - 1));
      if (names.length === 0) return;
      for (const name of names) await this.drop(decodeSet(name));
    }
  }

  async dropEnded(now: number): Promise<number> {
    const names = await this.#run((redis) =>
      redis.zrangebyscore(this.#setsKey(), '(0', now, 'LIMIT', 0, this.#limits.page),
    );
    for (const name of names) await this.drop(decodeSet(name));
    return names.length;
  }

  async sweep(node: NodeId): Promise<number> {
    const writers = this.#writersKey(node);
    let dropped = 0;
    for (;;) {
      const names = await this.#run((redis) => redis.srandmember(writers, this.#limits.page));
      if (names.length === 0) return dropped;
      for (const name of names) {
        const set = decodeSet(name);
        dropped += await this.#run((redis) =>
          redis.ranksSweep(...this.#allKeys(set, name), writers, this.#link.instance, name, set.expiry),
        );
      }
    }
  }

  async sample(most: number): Promise<RankSet[]> {
    const names = await this.#run((redis) => redis.zrandmember(this.#setsKey(), most));
    return [...new Set(names)].map(decodeSet);
  }

  async slice(set: RankSet, from: number, most: number): Promise<RankEntry[] | null> {
    const members = await this.#slice(set, BigInt(from), BigInt(from + most - 1), false);
    if (members === null) return null;
    const entries = members.map(decodeMember);
    const seen = await this.seen(
      set,
      entries.map(({ owner }) => owner),
    );
    if (seen === null) return null;
    // One that has changed in between is there under another rank.
    return entries.flatMap(({ owner }) => {
      const { version, score } = seen.get(owner) ?? {};
      return version === undefined || score === undefined ? [] : [{ owner, version, ...score }];
    });
  }

  async seen(set: RankSet, owners: readonly string[]): Promise<Map<string, SeenEntry> | null> {
    const seen = new Map<string, SeenEntry>();
    const keys = this.#keys(encodeSet(set));
    for (let start = 0; start < owners.length; start += this.#limits.owners) {
      const part = owners.slice(start, start + this.#limits.owners);
      const ids = part.map(encodeOwner);
      const values = await this.#run((redis) => redis.ranksSeenBuffer(...keys, this.#link.instance, ...ids));
      if (values === null) return null;
      for (const [i, owner] of part.entries()) {
        const value = values[i];
        if (value) seen.set(owner, decodeSeen(value));
      }
    }
    return seen;
  }

  #slice(set: RankSet, first: bigint, last: bigint, descending: boolean): Promise<Buffer[] | null> {
    const keys = this.#keys(encodeSet(set));
    return this.#run((redis) =>
      redis.ranksSliceBuffer(...keys, this.#link.instance, `${first}`, `${last}`, descending ? '1' : '0'),
    );
  }

  #remember(name: string, known: Announced): void {
    this.#announced.set(name, known);
    for (const oldest of this.#announced.keys()) {
      if (this.#announced.size <= this.#limits.announced) break;
      this.#announced.delete(oldest);
    }
  }

  /**
   * The index is another one than this node thought. Perhaps because others took this node for dead and have swept what
   * it had announced, so it announces the set again.
   */
  #forget(name: string, incarnation: string): void {
    const known = this.#announced.get(name);
    if (known !== undefined && known.incarnation !== incarnation) this.#announced.delete(name);
  }

  async #withdrawIdle(): Promise<void> {
    const before = performance.now() - this.#limits.announcedMs;
    const idle = [...this.#announced].filter(([, { usedAt }]) => usedAt < before).slice(0, this.#limits.page);
    for (const [name] of idle) this.#announced.delete(name);
    const writers = new Map<string, string[]>();
    for (const [name, { writer }] of idle) writers.set(writer, [...(writers.get(writer) ?? []), name]);
    for (const [writer, names] of writers) {
      await this.#link.run((redis) => redis.srem(this.#link.key(`ranks:writers:${writer}`), ...names));
    }
  }

  #run<T>(command: (redis: Scripted) => Promise<T>): Promise<T> {
    return this.#link.run((redis) => command(scripted(redis)));
  }

  #keys(name: string): Keys {
    const base = this.#link.key(`ranks:{${name}}:`);
    return [`${base}m`, `${base}z`, `${base}h`, `${base}d`];
  }

  #allKeys({ board }: RankSet, name: string): AllKeys {
    return [...this.#keys(name), this.#setsKey(), this.#boardKey(board)];
  }

  #setsKey(): string {
    return this.#link.key('ranks:sets');
  }

  #boardKey(board: string): string {
    return this.#link.key(`ranks:board:${encodeBoard(board)}`);
  }

  #writersKey(node: NodeId): string {
    return this.#link.key(`ranks:writers:${writerOf(node)}`);
  }
}

const writerOf = ({ name, epoch }: NodeId): string => `${epoch}:${name}`;

function encodeChange(change: RankChange): (string | Buffer)[] {
  const owner = encodeOwner(change.owner);
  switch (change.kind) {
    case 'put':
    case 'confirm':
      return [change.kind, owner, encodeEntry(change), ''];
    case 'remove':
      return [change.kind, owner, encodeVersion(change.version), ''];
    case 'clear':
      return [change.kind, owner, encodeVersion(change.version), change.seen.raw];
  }
}

function toResult(result: unknown): ChangeResult {
  return Buffer.isBuffer(result) ? { done: false, seen: decodeSeen(result) } : { done: true, rank: Number(result) };
}
