import type { Presence } from '../../cluster/presence.ts';
import { presenceKey } from '../../cluster/presence.ts';
import { type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { decodeStreamFrame, encodeEnvelope, type StreamMessage } from '../../cluster/stream-frame.ts';
import { AppError, Code } from '../../platform/errors.ts';
import { CheckFailed, check, checkEqual, foldList, Model, StreamLog, showAll } from './presence-check.ts';
import type { PresenceCluster, PresenceNode } from './presence-cluster.ts';
import { bytes, isFailure, type Operation, Operations, refused, streams } from './presence-operations.ts';
import { at, eventually, Random } from './support.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Batches of one to five operations. */
  readonly steps: number;
  /** What a node hears instead of the message; for proving that the checks notice. */
  readonly fault?: (node: number, message: StreamMessage) => readonly StreamMessage[];
}

/**
 * Random operations from all nodes, one at a time (then results and events must be exactly the model's) or several at
 * once (then the order is open where two nodes meet on one presence; everything else must still hold). After each batch
 * all nodes must have heard the same in the same order, and what they heard must add up to what is listed.
 */
export async function simulatePresence(cluster: PresenceCluster, options: SimulationOptions): Promise<void> {
  const simulation = new Simulation(cluster, options);
  try {
    await simulation.run();
  } catch (error) {
    const text = `seed ${options.seed}: ${error instanceof Error ? error.message : String(error)}\n${simulation.story()}`;
    throw error instanceof CheckFailed ? new CheckFailed(text) : new Error(text, { cause: error });
  }
}

const nodeCount = 3;
const storyLength = 12;

class Simulation {
  readonly #cluster: PresenceCluster;
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #model = new Model();
  readonly #operations: Operations;
  readonly #story: string[] = [];
  /** By node, then by stream. */
  readonly #logs: Map<string, StreamLog>[] = [];
  /** How many entries of the first node's log each log has not got, because it began later. */
  readonly #offsets: Map<string, number>[] = [];
  #watchers: { stream: Stream; list: Presence[]; since: StreamMessage[]; stop: () => Promise<void> }[] = [];
  #flushes = 0;

  constructor(cluster: PresenceCluster, options: SimulationOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#operations = new Operations(cluster, this.#model, this.#random, (node, key) => this.#log(node, key));
  }

  story(): string {
    return `last operations:\n  ${this.#story.slice(-storyLength).join('\n  ')}`;
  }

  async run(): Promise<void> {
    for (let node = 0; node < nodeCount; node++) await this.#observe(node);
    for (let step = 0; step < this.#options.steps; step++) {
      if (this.#random.chance(0.04)) await this.#crash();
      else if (this.#random.chance(0.5)) await this.#alone();
      else await this.#together();
    }
  }

  #node(index: number): PresenceNode {
    return at(this.#cluster.nodes, index);
  }

  #log(node: number, key: string): StreamLog {
    const log = at(this.#logs, node).get(key);
    if (log === undefined) throw new Error(`no log of ${key}`);
    return log;
  }

  async #observe(node: number): Promise<void> {
    const logs = new Map<string, StreamLog>();
    const offsets = new Map<string, number>();
    this.#logs[node] = logs;
    this.#offsets[node] = offsets;
    for (const stream of streams) {
      const key = streamKey(stream);
      const log = new StreamLog(await this.#node(0).presence.list(stream));
      offsets.set(key, node === 0 ? 0 : this.#log(0, key).entries.length);
      logs.set(key, log);
      await this.#node(node).bus.subscribe(streamTopic(stream), (frame) => {
        const message = decode(frame);
        for (const heard of this.#options.fault?.(node, message) ?? [message]) log.hear(heard);
      });
    }
  }

  /** One operation: everything about it is known beforehand. */
  async #alone(): Promise<void> {
    const operation = this.#operations.next();
    this.#story.push(operation.text);
    const before = streams.map((stream) => this.#log(operation.issuer, streamKey(stream)).entries.length);
    const expected = operation.expect();
    const result = await settled(operation.run());
    checkEqual(result, expected.result, () => `result of ${operation.text}`);
    for (const [i, stream] of streams.entries()) {
      const key = streamKey(stream);
      const heard = this.#log(operation.issuer, key).entries.slice(before[i]);
      const event = expected.events.get(key);
      checkEqual(heard, event === undefined ? [] : [event], () => `heard on ${key} of ${operation.text}`);
    }
    await this.#checkAll([operation]);
  }

  async #together(): Promise<void> {
    const operations: Operation[] = [];
    const ends: Promise<void>[] = [];
    for (let i = 2 + this.#random.below(4); i > 0; i--) {
      const operation = this.#operations.next();
      operations.push(operation);
      // Where operations meet on one presence the result is open, but a closed session is closed at once.
      const closed = operation.expect().result === refused;
      const end = settled(operation.run()).then((result) =>
        check(
          closed ? result === refused : !isFailure(result),
          () => `${operation.text} ended in ${JSON.stringify(result)}`,
        ),
      );
      ends.push(end);
      if (this.#random.chance(0.2)) ends.push(this.#watch());
    }
    this.#story.push(`together: ${operations.map(({ text }) => text).join('; ')}`);
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === 'rejected') throw end.reason;
    }
    await this.#checkAll(operations);
  }

  async #crash(): Promise<void> {
    const victim = 1 + this.#random.below(nodeCount - 1);
    this.#story.push(`crash ${victim}`);
    const zombie = this.#node(victim).presence;
    const id = await this.#cluster.crash(victim);
    const survivors = [0, 1, 2].filter((node) => node !== victim);
    const swept = await Promise.all(survivors.map((node) => this.#node(node).presence.sweep(id)));
    const { count } = this.#model.remove(({ node }) => node === id.name);
    checkEqual(
      swept.reduce((sum, part) => sum + part, 0),
      count,
      () => 'presences swept',
    );
    for (const sessionId of this.#operations.dropSessions(victim)) {
      const stream = this.#random.pick(streams);
      const result = await settled(zombie.track(this.#operations.presence(victim, sessionId, stream)));
      check(isFailure(result), () => `a swept node tracked ${sessionId}`);
    }
    await this.#flush(survivors);
    await this.#cluster.restart(victim);
    await this.#observe(victim);
    await this.#checkAll([]);
  }

  async #watch(): Promise<void> {
    const stream = this.#random.pick(streams);
    const node = this.#node(this.#random.below(nodeCount));
    let since: StreamMessage[] = [];
    const subscription = await node.bus.subscribe(streamTopic(stream), (frame) => since.push(decode(frame)));
    since = [];
    const list = await node.presence.list(stream);
    this.#watchers.push({ stream, list, since, stop: () => subscription.close() });
  }

  /** Waits until those nodes have heard all that was said, and compares it. */
  async #flush(nodes: readonly number[]): Promise<void> {
    const marker = `flush ${this.#flushes++}`;
    for (const stream of streams) {
      await this.#node(0).bus.publish(streamTopic(stream), encodeEnvelope(stream, bytes(marker)));
      const key = streamKey(stream);
      const reference = this.#log(0, key).entries;
      for (const node of nodes) {
        const { entries } = this.#log(node, key);
        await eventually(this.#cluster.settleMs, () =>
          check(entries.lastIndexOf(`message ${marker}`) >= 0, () => `node ${node} has not heard ${marker} on ${key}`),
        );
        const offset = at(this.#offsets, node).get(key) ?? 0;
        // What was compared before is known to be equal.
        const start = Math.max(entries.length - compared, 0);
        const expected = reference.slice(offset + start);
        checkEqual(entries.slice(start), expected, () => `order on ${key} at node ${node}, against node 0`);
      }
    }
  }

  async #checkAll(operations: readonly Operation[]): Promise<void> {
    await this.#flush([0, 1, 2]);
    for (const stream of streams) await this.#checkStream(stream, operations);
    for (const { stream, list, since, stop } of this.#watchers.splice(0)) {
      await stop();
      const truth = showAll(this.#model.members(streamKey(stream)));
      checkEqual(foldList(list, since), truth, () => `list with later events of ${streamKey(stream)}`);
    }
    const all = this.#model.all();
    for (let node = 0; node < nodeCount; node++) {
      const { directory, presence } = this.#node(node);
      const own = all.filter((one) => one.node === directory.self.name).length;
      await eventually(this.#cluster.settleMs, () =>
        checkEqual(presence.localCount(), own, () => `localCount of node ${node}`),
      );
    }
    const asked = await this.#node(this.#random.below(nodeCount)).presence.counts(streams);
    checkEqual(
      asked,
      streams.map((stream) => this.#model.members(streamKey(stream)).length),
      () => 'counts',
    );
  }

  async #checkStream(stream: Stream, operations: readonly Operation[]): Promise<void> {
    const key = streamKey(stream);
    const list = await this.#node(this.#random.below(nodeCount)).presence.list(stream);
    const listed = new Map(list.map((presence) => [presenceKey(presence), presence]));
    for (const presence of [...this.#model.members(key), ...list]) {
      const issuers = new Set(operations.filter((one) => one.touches(presence)).map(({ issuer }) => issuer));
      const id = presenceKey(presence);
      if (issuers.size > 1) this.#model.learn(key, id, listed.get(id));
    }
    checkEqual(showAll(list), showAll(this.#model.members(key)), () => `list of ${key}, against the model`);
    for (let node = 0; node < nodeCount; node++) {
      const log = this.#log(node, key);
      check(log.problem === undefined, () => `node ${node} heard on ${key}: ${log.problem}`);
      checkEqual(showAll(log.members.values()), showAll(list), () => `events of ${key} at node ${node}, against list`);
    }
  }
}

/** More entries than one batch can make. */
const compared = 200;

/** The result, or what kind of failure it was; a broken promise goes through. */
async function settled(result: Promise<unknown>): Promise<unknown> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.code === Code.FAILED_PRECONDITION ? refused : { failed: error.message };
  }
}

function decode(frame: Uint8Array): StreamMessage {
  const message = decodeStreamFrame(frame);
  if (message === undefined) throw new Error('unknown kind of stream frame');
  return message;
}
