import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { ClusterLog } from './bus.ts';
import type { NodeDirectory } from './nodes.ts';
import { maxEventPresences } from './presence.ts';
import { withEpoch } from './presence-redis-codec.ts';
import type { Gate } from './presence-redis-gate.ts';
import {
  type Actor,
  type Change,
  type PresenceCalls,
  RefusedError,
  type StreamChanges,
} from './presence-redis-scripts.ts';
import type { Held, HeldPresences, HeldSession } from './presence-redis-table.ts';
import type { RedisLink } from './redis-link.ts';

interface RepairDependencies {
  readonly calls: PresenceCalls;
  readonly held: HeldPresences;
  readonly gate: Gate;
  readonly nodes: NodeDirectory;
  readonly link: RedisLink;
  readonly log: ClusterLog;
}

export interface RepairNeed {
  /** Look at everything, not just at what is in doubt. */
  readonly full?: boolean;
  /** Take open sessions of former epochs over into the present one. */
  readonly adopt?: boolean;
}

const retryMinMs = 100;
const retryMaxMs = 1000;

/**
 * Brings Redis and what this node holds into agreement, while the gate is closed: at the start, in a new epoch, when
 * replies or notices got lost, and when Redis has lost what the node wrote. If Redis has kept it, Redis is right about
 * what is there, for others may have changed it; otherwise this node is.
 */
export class PresenceRepair {
  readonly #deps: RepairDependencies;
  /** Closed sessions whose presences may still be in Redis. */
  readonly #closing = new Set<HeldSession>();
  #epoch: number | undefined;
  #generation = 0;
  #readyGeneration = '';
  #born: string | undefined;
  /** Which server has answered the last attempt. */
  #server = '';
  #need: RepairNeed = {};
  #requests = 0;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: RepairDependencies) {
    this.#deps = deps;
  }

  /** The epoch in which the node may write; undefined before the first repair is done. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** As whom commands are sent now: for a session, in its epoch. */
  actor(epoch: number = this.#deps.nodes.self.epoch): Actor {
    return { name: this.#deps.nodes.self.name, epoch, generation: this.#readyGeneration };
  }

  /** Closes the gate; resolves when it is open again, however long that takes, or the node stops. */
  request(need: RepairNeed = {}): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#deps.gate.close();
    this.#need = { full: this.#need.full || need.full, adopt: this.#need.adopt || need.adopt };
    this.#requests++;
    this.#running ??= this.#run();
    return this.#running;
  }

  /** The session's presences are to disappear, if not now then as soon as possible. */
  willRemove(session: HeldSession): void {
    this.#closing.add(session);
  }

  isRemoving(session: HeldSession): boolean {
    return this.#closing.has(session);
  }

  removed(session: HeldSession): void {
    this.#closing.delete(session);
  }

  stop(): void {
    this.#stopped = true;
    this.#deps.gate.close();
  }

  async #run(): Promise<void> {
    const { gate, link, log } = this.#deps;
    for (let tries = 0; !this.#stopped; tries++) {
      try {
        await link.ready(link.limits.offlineWaitMs);
        const [need, requests] = [this.#need, this.#requests];
        this.#need = {};
        try {
          await this.#attempt(need);
        } catch (error) {
          this.#need = { full: true, adopt: need.adopt || this.#need.adopt };
          throw error;
        }
        if (requests === this.#requests && !this.#stopped) {
          // Whoever passes may at once be the reason for the next one.
          this.#running = undefined;
          gate.open();
          return;
        }
      } catch (error) {
        if (error instanceof RefusedError && error.reason === 'swept') gate.refuse(error);
        if (tries === 0) log.warn({ err: error }, 'presences in Redis cannot be repaired yet');
        await sleep(Math.min(retryMinMs * 2 ** Math.min(tries, 10), retryMaxMs), undefined, { ref: false });
      }
    }
  }

  async #attempt({ full, adopt }: RepairNeed): Promise<void> {
    const { calls, held, nodes } = this.#deps;
    const self = nodes.self;
    const generation = `${++this.#generation}`;
    const attached = await calls.attach({ ...self, generation }, { stamp: held.lastStamp, server: this.#server });
    this.#server = attached.server;
    // Replies that came before this one have been dealt with by then, and no others are on their way.
    await turn();
    const actor = { ...self, generation: attached.generation };
    const adopted = adopt ? held.beforeEpoch(self.epoch) : [];
    // Then nobody has heard that anything left.
    const emptied = this.#born !== undefined && this.#born !== attached.born;
    const remove = ({ id, value, sent }: Held): Change => {
      const had = value ?? sent;
      return emptied && had !== undefined ? { action: 'leave', id, value: had } : { action: 'del', id };
    };
    if (attached.intact) await this.#compare(actor, full);
    else await this.#restore(actor, held.restart(attached.stamp).ofEpoch(self.epoch), remove);
    // That they are not there says nothing: they were swept.
    await this.#restore(actor, adopted, remove);
    if (adopt) held.adopt(self.epoch);
    await this.#removeClosing(actor, remove);
    if (full || !attached.intact) await this.#removeUnknown(actor);
    await calls.ready(actor, generation);
    this.#epoch = self.epoch;
    this.#readyGeneration = generation;
    this.#born = attached.born;
  }

  /** Redis has what was written: what it has not got any more, others have removed. */
  async #compare(actor: Actor, full: boolean | undefined): Promise<void> {
    const { held } = this.#deps;
    const some = held.ofEpoch(actor.epoch).filter((one) => full || one.leaving > 0 || held.isDoubtful(one));
    // Of what was never acknowledged nobody knows whether it was carried out: better it was not.
    await this.#carryOut(actor, some, (one) => ({ action: isWanted(one) ? 'get' : 'del', id: one.id }));
  }

  /** Redis has not got it, for it has lost it, or it was swept: this node knows what should be there. */
  async #restore(actor: Actor, some: readonly Held[], remove: (one: Held) => Change): Promise<void> {
    await this.#carryOut(actor, some, (one) =>
      isWanted(one) ? { action: 'restore', id: one.id, value: withEpoch(one.value, actor.epoch) } : remove(one),
    );
  }

  async #carryOut(actor: Actor, all: readonly Held[], toChange: (one: Held) => Change): Promise<void> {
    const { calls, held } = this.#deps;
    // The others stand before the gate: they were not sent yet.
    const sent = all.filter((one) => one.value !== undefined || held.isDoubtful(one));
    const steps = sent.map((one) => ({ one, key: one.key, change: toChange(one) }));
    for (const { items, streams } of batches(steps, ({ change }) => change)) {
      for (const { one } of items) held.retain(one);
      try {
        const { stamp, results } = await calls.change(actor, streams);
        for (const [i, { one, change }] of items.entries()) {
          const result = results[i];
          const restored = change.action === 'restore' ? change.value : undefined;
          held.learn(one, Buffer.isBuffer(result) ? result : restored, stamp);
        }
      } finally {
        for (const { one } of items) held.release(one);
      }
    }
  }

  async #removeClosing(actor: Actor, remove: (one: Held) => Change): Promise<void> {
    const sessions = [...this.#closing];
    const all = sessions.flatMap((session) => [...session.held]);
    for (const { streams } of batches(all, remove)) await this.#deps.calls.change(actor, streams);
    for (const session of sessions) this.#closing.delete(session);
  }

  /** What Redis has and this node knows nothing of, because Redis went back in time. */
  async #removeUnknown(actor: Actor): Promise<void> {
    const { calls, held } = this.#deps;
    for (let page = await calls.held(actor, ''); page.length > 0; page = await calls.held(actor, last(page))) {
      const unknown = page.filter(({ key, id }) => held.get(key, id)?.value === undefined);
      for (const { streams } of batches(unknown, ({ id }) => ({ action: 'del', id }))) {
        await calls.change(actor, streams);
      }
    }
  }
}

const isWanted = (one: Held): one is Held & { value: Buffer } => one.value !== undefined && one.leaving === 0;

const last = (page: readonly { member: string }[]): string => page.at(-1)?.member ?? '';

/** What is done in one call of a script: everything of a stream together, unless that is too much. */
export function batches<T extends { readonly key: string }>(
  all: readonly T[],
  toChange: (item: T) => Change,
): { items: T[]; streams: StreamChanges[] }[] {
  const groups = new Map<string, T[]>();
  for (const item of all) {
    const group = groups.get(item.key);
    if (group === undefined) groups.set(item.key, [item]);
    else group.push(item);
  }
  const result: { items: T[]; streams: StreamChanges[] }[] = [];
  for (const [key, group] of groups) {
    for (let start = 0; start < group.length; start += maxEventPresences) {
      const items = group.slice(start, start + maxEventPresences);
      const part = { key, changes: items.map(toChange) };
      const batch = result.at(-1);
      if (batch !== undefined && batch.items.length + items.length <= maxEventPresences) {
        batch.items.push(...items);
        batch.streams.push(part);
      } else {
        result.push({ items, streams: [part] });
      }
    }
  }
  return result;
}
