import { setImmediate as turn } from 'node:timers/promises';
import { AppError, Code, invalidArgument, unavailable } from '../platform/errors.ts';
import { within } from '../platform/within.ts';
import type { Bus, ClusterLog, Subscription } from './bus.ts';
import type { NodeDirectory, NodeId } from './nodes.ts';
import {
  maxPresenceBytes,
  type NewPresence,
  type Presence,
  type PresenceTracker,
  presenceKey,
  type TrackResult,
} from './presence.ts';
import { decodeValues, encodeValue } from './presence-redis-codec.ts';
import { Gate } from './presence-redis-gate.ts';
import { batches, PresenceRepair } from './presence-redis-repair.ts';
import { type Actor, type Notice, noticeTopic, PresenceCalls, RefusedError } from './presence-redis-scripts.ts';
import { type Held, HeldPresences, type HeldSession } from './presence-redis-table.ts';
import type { RedisLink } from './redis-link.ts';
import { type Stream, streamKey } from './stream.ts';
import { presenceBytes } from './stream-frame.ts';

export interface RedisPresenceOptions {
  /** A bus on the same link. */
  readonly bus: Bus & { fence(): Promise<void> };
  readonly nodes: NodeDirectory;
  readonly log: ClusterLog;
}

/** How long `reannounce` is waited for; what it does goes on. */
const repairWaitMs = 20_000;

/** Streams that are counted with one write. */
const countBatch = 1000;

/** How long `glance` waits for Redis. */
const glanceMs = 100;

/**
 * Presences in Redis. A change and its event are one step of a script (presence-redis-lua.ts), which Redis refuses when
 * the node is not registered under its epoch. Each node also keeps what its own sessions hold: out of that it repairs
 * Redis (presence-redis-repair.ts). While it does so, or Redis is away, operations wait for a short time.
 *
 * When Redis has lost its state, every node puts its presences back, within moments of hearing of it; until then the
 * others neither list them nor can take them off a stream. Nodes hear their joins again, because it is not known who
 * looked meanwhile, and the leaves of sessions that ended, even if they never heard of the join. What a dead node had
 * held is gone without leaves: after `Bus.onGap` a list tells.
 */
export class RedisPresence implements PresenceTracker {
  readonly #bus: RedisPresenceOptions['bus'];
  readonly #nodes: NodeDirectory;
  readonly #link: RedisLink;
  readonly #calls: PresenceCalls;
  readonly #held = new HeldPresences();
  readonly #gate: Gate;
  readonly #repair: PresenceRepair;
  #notices: Subscription | undefined;

  /**
   * Rejects with UNAVAILABLE when Redis is out of reach. To be opened before whoever else listens to gaps of the bus:
   * then this node's presences are back in Redis when the others look.
   */
  static async open(link: RedisLink, options: RedisPresenceOptions): Promise<RedisPresence> {
    const tracker = new RedisPresence(link, options);
    tracker.#notices = await options.bus.subscribe(noticeTopic, (frame) => tracker.#notice(frame));
    return tracker;
  }

  private constructor(link: RedisLink, { bus, nodes, log }: RedisPresenceOptions) {
    this.#bus = bus;
    this.#nodes = nodes;
    this.#link = link;
    this.#calls = new PresenceCalls(link);
    this.#gate = new Gate(link.limits.maxWaiting, link.limits.offlineWaitMs);
    this.#repair = new PresenceRepair({ calls: this.#calls, held: this.#held, gate: this.#gate, nodes, link, log });
    link.onDown(() => void this.#repair.request());
    bus.onGap(() => this.#finish(this.#repair.request({ full: true })));
  }

  openSession(sessionId: string): void {
    this.#held.open(sessionId, this.#nodes.self.epoch);
  }

  async track(presence: NewPresence): Promise<TrackResult> {
    const { added, members } = await this.#write('add', [presence], true);
    return { isNew: added[0] === true, members: decodeValues(presence.stream, members) };
  }

  async trackMany(presences: readonly NewPresence[]): Promise<boolean[]> {
    return presences.length === 0 ? [] : (await this.#write('add', presences)).added;
  }

  async update(presence: NewPresence): Promise<void> {
    await this.#write('put', [presence]);
  }

  /** As for `untrackSession`, as far as the session is one of this node. */
  async untrack(sessionId: string, stream: Stream, userId: string): Promise<boolean> {
    const [key, id] = [streamKey(stream), presenceKey({ sessionId, userId })];
    const turn = this.#held.nextTurn();
    try {
      return await this.#act(
        async (actor) => {
          const { stamp, results } = await this.#calls.change(actor, [{ key, changes: [{ action: 'del', id }] }]);
          this.#held.gone(key, [id], stamp);
          return results[0] === 1;
        },
        [this.#held.get(key, id)],
      );
    } catch (error) {
      if (!isOutOfReach(error)) throw error;
      const wasThere = this.#held.leave(sessionId, key, id, turn);
      if (wasThere === undefined) throw error;
      void this.#repair.request();
      return wasThere;
    }
  }

  /** When Redis is out of reach this resolves nevertheless: the presences disappear as soon as it is back. */
  async untrackSession(sessionId: string): Promise<void> {
    const session = this.#held.close(sessionId);
    if (session !== undefined) await this.#removeSession(session);
  }

  async untrackUser(userId: string, stream: Stream): Promise<number> {
    const key = streamKey(stream);
    return await this.#act(async (actor) => {
      const { stamp, ids } = await this.#calls.removeUser(actor, key, userId);
      this.#held.gone(key, ids, stamp);
      return ids.length;
    });
  }

  async closeStream(stream: Stream): Promise<number> {
    const key = streamKey(stream);
    return await this.#act(async (actor) => {
      const { stamp, count } = await this.#calls.close(actor, key);
      this.#held.gone(key, undefined, stamp);
      return count;
    });
  }

  async list(stream: Stream): Promise<Presence[]> {
    const key = streamKey(stream);
    const values = await this.#pass(async () => {
      const listed = this.#calls.list(key);
      // Sent behind the command, so it comes back behind the events of what is listed.
      const heard = this.#heard();
      await listed;
      await heard;
      return listed;
    });
    return decodeValues(stream, values);
  }

  holds(sessionId: string, stream: Stream, userId: string): boolean {
    return this.#held.get(streamKey(stream), presenceKey({ sessionId, userId }))?.value !== undefined;
  }

  async counts(streams: readonly Stream[]): Promise<number[]> {
    const keys = streams.map(streamKey);
    const counts: number[] = [];
    for (let start = 0; start < keys.length; start += countBatch) {
      counts.push(...(await this.#pass(() => this.#calls.count(keys.slice(start, start + countBatch)))));
    }
    return counts;
  }

  async glance(streams: readonly Stream[]): Promise<number[]> {
    if (this.#link.isUp) {
      const counts = this.counts(streams);
      try {
        if (await within(glanceMs, counts)) return await counts;
        counts.catch(() => undefined);
      } catch (error) {
        if (!isOutOfReach(error)) throw error;
      }
    }
    return streams.map((stream) => this.#held.countOn(streamKey(stream)));
  }

  async sweep(node: NodeId): Promise<number> {
    if (node.name === this.#nodes.self.name) this.#held.end(node.epoch);
    return await this.#sweep(node, false);
  }

  /**
   * Sweeps what belongs to nodes that the directory does not list, for which nobody was there to sweep: all nodes died,
   * say, and came back under other names. Call it after the start of the directory.
   */
  async sweepOrphans(): Promise<number> {
    const { name, epoch } = this.#nodes.self;
    let count = 0;
    for (const holder of await this.#pass(() => this.#calls.holders())) {
      if (holder.name !== name || holder.epoch < epoch) count += await this.#sweep(holder, true);
    }
    return count;
  }

  localCount(): number {
    return this.#held.count;
  }

  /**
   * Makes Redis agree with what this node's open sessions hold, and takes those of a former epoch over into the present
   * one; resolves when that is done, rejects with UNAVAILABLE when it takes too long (it is tried on then).
   *
   * To be called by whoever wires the node together: after `NodeDirectory.onSelfLost` with 'died', if the sockets are to
   * stay open; their presences were swept, and join again. When replies or notices were lost, or Redis lost its state,
   * the tracker repairs itself, for sessions of the present epoch.
   */
  async reannounce(): Promise<void> {
    const repair = this.#repair.request({ full: true, adopt: true });
    if (!(await within(repairWaitMs, repair))) throw unavailable('presences are not restored yet');
    await this.#heard();
  }

  /** Open sessions are left to a sweep. The link and the bus have to be there still. */
  async close(): Promise<void> {
    const actor = this.#repair.actor();
    this.#repair.stop();
    this.#gate.shut(unavailable('presences are closed on this node'));
    await this.#notices?.close();
    if (!this.#link.isUp || this.#repair.epoch !== actor.epoch) return;
    // Whatever hinders it: a sweep will do the same.
    await this.#calls.detach(actor).catch(() => undefined);
  }

  async #write(
    action: 'add' | 'put',
    presences: readonly NewPresence[],
    wantsMembers = false,
  ): Promise<{ added: boolean[]; members: Buffer[] }> {
    const node = this.#nodes.self.name;
    const all = presences.map((presence) => ({ ...presence, node, key: streamKey(presence.stream) }));
    if (all.some((presence) => presenceBytes(presence) > maxPresenceBytes)) {
      throw invalidArgument('presence is too large');
    }
    const held = this.#held.enter(all);
    const turn = this.#held.nextTurn();
    try {
      return await this.#pass(async () => {
        const epoch = Math.min(...held.map(({ session }) => session.epoch));
        const items = held.map((one, index) => {
          const value = encodeValue(all[index] as Presence, epoch);
          one.sent = value;
          return { one, index, key: one.key, value };
        });
        const actor = this.#repair.actor(epoch);
        const added = new Array<boolean>(items.length);
        let members: Buffer[] = [];
        const parts = batches(items, ({ one, value }) => ({ action, id: one.id, value }));
        const calls = parts.map(async (part) => {
          const reply = await this.#calls.change(actor, part.streams, wantsMembers);
          members = reply.members;
          for (const [i, { one, index, value }] of part.items.entries()) {
            const result = reply.results[i];
            added[index] = result === 1;
            this.#held.place(one, turn);
            this.#learn(one, Buffer.isBuffer(result) ? result : value, reply.stamp);
          }
        });
        await this.#settle(actor, calls, held);
        return { added, members };
      });
    } finally {
      for (const one of held) this.#held.release(one);
    }
  }

  #learn(one: Held, value: Buffer, stamp: number): void {
    this.#held.learn(one, value, stamp);
    if (one.session.open || this.#repair.isRemoving(one.session)) return;
    // It was carried out after the end of the session, however that came about.
    void this.#removeSession(one.session);
  }

  async #removeSession(session: HeldSession): Promise<void> {
    this.#repair.willRemove(session);
    try {
      await this.#act(async (actor) => {
        const parts = batches([...session.held], ({ id }) => ({ action: 'del', id }));
        await Promise.all(parts.map(({ streams }) => this.#calls.change(actor, streams)));
        this.#repair.removed(session);
      });
    } catch (error) {
      if (error instanceof RefusedError && error.reason === 'swept') this.#repair.removed(session);
      else void this.#repair.request();
    }
  }

  async #sweep({ name, epoch }: NodeId, orphan: boolean): Promise<number> {
    let count = 0;
    for (let more = true; more; ) {
      const batch = await this.#act((actor) => this.#calls.sweep(actor, { name, epoch }, orphan));
      count += batch.count;
      more = batch.more;
    }
    return count;
  }

  /** Does something that is not about presences of one of this node's epochs. */
  async #act<T>(command: (actor: Actor) => Promise<T>, doubted: readonly (Held | undefined)[] = []): Promise<T> {
    return await this.#pass(async () => {
      const actor = this.#repair.actor();
      const result = command(actor);
      await this.#settle(actor, [result], doubted);
      return await result;
    });
  }

  /** Waits for commands that were just sent, and for their events; draws the conclusions if one failed. */
  async #settle(
    actor: Actor,
    sent: readonly Promise<unknown>[],
    concerned: readonly (Held | undefined)[],
  ): Promise<void> {
    // The fence is sent behind the commands, so it comes back behind their events.
    const heard = this.#heard();
    const ends = await Promise.allSettled(sent);
    const failure = ends.find((end) => end.status === 'rejected');
    if (failure !== undefined) {
      const error = this.#failed(failure.reason, actor, concerned);
      const isPartial = error.retry === 'safe' && ends.some((end) => end.status === 'fulfilled');
      throw isPartial ? new AppError(error.code, error.message, { retry: 'unknown', cause: error }) : error;
    }
    await heard;
  }

  #failed(reason: unknown, { epoch, generation }: Actor, concerned: readonly (Held | undefined)[]): AppError {
    if (!(reason instanceof AppError)) throw reason;
    if (reason instanceof RefusedError) {
      const isPresent = epoch === this.#nodes.self.epoch && generation === this.#repair.actor().generation;
      if (reason.reason !== 'swept' && isPresent) void this.#repair.request({ full: true });
      return reason;
    }
    if (reason.retry === 'unknown' || reason.code === Code.INTERNAL) {
      for (const one of concerned) if (one !== undefined) this.#held.doubt(one);
      void this.#repair.request();
    }
    return reason;
  }

  /** Lets it pass behind everything that the bus and this tracker were asked before. */
  async #pass<T>(operation: () => Promise<T>): Promise<T> {
    // What is published leaves at the end of a turn; so a message that was sent before this stays before it.
    await turn();
    if (this.#repair.epoch !== this.#nodes.self.epoch) void this.#repair.request();
    return await this.#gate.pass(operation);
  }

  /** Until this node's subscribers have heard what was sent to Redis so far. If the bus is broken there is a gap. */
  async #heard(): Promise<void> {
    await this.#bus.fence().catch(() => undefined);
  }

  async #finish(repair: Promise<void>): Promise<void> {
    await repair;
    await this.#heard();
  }

  #notice(frame: Uint8Array): void {
    const { stream, fields, stamp } = JSON.parse(new TextDecoder().decode(frame)) as Notice;
    this.#held.gone(stream, fields, Number(stamp));
  }
}

const isOutOfReach = (error: unknown): boolean => error instanceof AppError && error.code === Code.UNAVAILABLE;
