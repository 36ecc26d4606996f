import { randomBytes } from 'node:crypto';
import type { Clock } from '../platform/clock.ts';
import type { Bus, ClusterLog, Subscription } from './bus.ts';
import type { GoneCause, LostCause, NodeDirectory, NodeId, NodeInfo } from './nodes.ts';
import {
  callRegister,
  type EndedNode,
  type NodeRecord,
  type RegisteredNode,
  type RegisterReply,
  type RegisterRequest,
} from './nodes-redis-script.ts';
import type { RedisLink } from './redis-link.ts';

export interface RedisNodesOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: ClusterLog;
  /** Over which nodes tell each other to look at once; without it they would at their next heartbeat. */
  readonly bus: Bus;
  readonly address?: string;
  /** Default 1 s. */
  readonly heartbeatMs?: number;
  /** Without a heartbeat for that long a node is dead; default 5 s. The same on all nodes. */
  readonly deadMs?: number;
}

/** On this topic a node says that the register has changed. */
export const nodesTopic = 'nodes';

/** Ended epochs that a node remembers, by name, for a register that has lost them. */
const maxRemembered = 512;

/**
 * The directory in Redis (see nodes-redis-script.ts). What a node knows of the register it also keeps itself: after
 * Redis was flushed the first one puts everything back. No epoch ends by that, and one that had ended stays ended.
 */
export class RedisNodes implements NodeDirectory {
  readonly #link: RedisLink;
  readonly #options: RedisNodesOptions;
  readonly #heartbeatMs: number;
  readonly #instance = randomBytes(8).toString('hex');
  readonly #goneListeners: ((node: NodeId, cause: GoneCause) => void)[] = [];
  readonly #lostListeners: ((lost: NodeId, cause: LostCause) => void)[] = [];
  readonly #ended = new Map<string, EndedNode>();
  #self: NodeId;
  #info = '';
  #isIn = false;
  #register = '';
  #sequence = 0;
  #version = 0;
  #known: readonly RegisteredNode[] = [];
  #mustRestore = false;
  #subscription: Subscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isBeating = false;
  #beatAgain = false;
  #isFailing = false;

  constructor(link: RedisLink, options: RedisNodesOptions) {
    this.#link = link;
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? 1000;
    this.#self = { name: options.name, epoch: 0 };
    link.onLost(() => {
      this.#mustRestore = true;
      void this.#beat();
    });
    link.onUp(() => void this.#beat());
    options.bus.onGap(() => void this.#beat());
  }

  get self(): NodeId {
    return this.#self;
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isIn) return;
      const { bus, clock, address } = this.#options;
      this.#subscription ??= await bus.subscribe(nodesTopic, () => void this.#beat());
      const record: NodeRecord = { instance: this.#instance, startedAt: clock.now() };
      this.#info = JSON.stringify(address === undefined ? record : { ...record, address });
      const reply = await this.#call('join', { isNew: true, info: this.#info });
      this.#self = { ...this.#self, epoch: reply.epoch };
      this.#isIn = true;
      this.#mustRestore = false;
      this.#take(reply, 0);
      this.#schedule();
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#subscription?.close();
      this.#subscription = undefined;
      if (!this.#isIn) return;
      this.#leave();
      try {
        await this.#call('leave');
      } catch (error) {
        this.#options.log.warn({ err: error }, 'this node could not say goodbye; the others will take it for dead');
      }
    });
  }

  async list(): Promise<NodeInfo[]> {
    // Another register than any: so the reply holds the list.
    const look = (): Promise<RegisterReply> => this.#call('look', { register: '' });
    let reply = await look();
    if (this.#isIn && reply.register !== this.#register) {
      // It was flushed. What this node knows goes back first, so that nobody is missing without having gone.
      await this.#inTurn(() => this.#lookAround());
      reply = await look();
    }
    const { nodes = [], register } = reply;
    if (register === this.#register) this.#known = nodes;
    const infos = nodes.map(({ name, epoch, info }) => {
      const { startedAt, address } = JSON.parse(info) as NodeRecord;
      return { name, epoch, startedAt, ...(address === undefined ? {} : { address }) };
    });
    return infos.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  onGone(listener: (node: NodeId, cause: GoneCause) => void): void {
    this.#goneListeners.push(listener);
  }

  onSelfLost(listener: (lost: NodeId, cause: LostCause) => void): void {
    this.#lostListeners.push(listener);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isIn) this.#timer = setTimeout(() => void this.#beat(), this.#heartbeatMs).unref();
  }

  /** A sign of life, and a look at what has happened; once more afterwards when asked for meanwhile. */
  async #beat(): Promise<void> {
    this.#beatAgain = true;
    if (this.#isBeating || !this.#isIn) return;
    this.#isBeating = true;
    try {
      while (this.#beatAgain && this.#isIn) {
        this.#beatAgain = false;
        await this.#inTurn(() => this.#lookAround());
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#options.log.warn({ err: error }, 'this node could not give a sign of life');
      this.#isFailing = true;
    } finally {
      this.#isBeating = false;
      this.#schedule();
    }
  }

  async #lookAround(): Promise<void> {
    if (!this.#isIn) return;
    let reply = this.#mustRestore ? await this.#restore() : await this.#call('beat');
    if (reply.state === 'unknown') reply = await this.#restore();
    if (reply.state === 'in') this.#take(reply, this.#self.epoch);
    else if (reply.state === 'died') await this.#rejoin();
    else this.#giveUp();
  }

  async #restore(): Promise<RegisterReply> {
    const self: RegisteredNode = { ...this.#self, info: this.#info };
    const others = this.#known.filter(({ name }) => name !== self.name);
    const reply = await this.#call('restore', { nodes: [self, ...others], ended: [...this.#ended.values()] });
    this.#mustRestore = false;
    return reply;
  }

  async #rejoin(): Promise<void> {
    const lost = this.#self;
    const reply = await this.#call('join', { info: this.#info });
    if (reply.state === 'replaced') {
      this.#giveUp();
      return;
    }
    this.#remember({ ...lost, cause: 'died' });
    this.#self = { ...lost, epoch: reply.epoch };
    for (const listener of this.#lostListeners) this.#tell(() => listener(lost, 'died'));
    // Ends that it slept through as well: the others may have died over cleaning up.
    this.#take(reply, this.#self.epoch);
  }

  #giveUp(): void {
    const lost = this.#self;
    this.#leave();
    for (const listener of this.#lostListeners) this.#tell(() => listener(lost, 'replaced'));
  }

  #leave(): void {
    this.#isIn = false;
    clearTimeout(this.#timer);
  }

  /** @param ownBelow earlier epochs of this node below that one are no news. */
  #take(reply: RegisterReply, ownBelow: number): void {
    this.#register = reply.register;
    this.#sequence = reply.sequence;
    this.#version = reply.version;
    if (reply.nodes !== undefined) this.#known = reply.nodes;
    for (const ended of reply.ended) {
      const { name, epoch, cause } = ended;
      if (epoch <= (this.#ended.get(name)?.epoch ?? 0) || (name === this.#self.name && epoch < ownBelow)) continue;
      this.#remember(ended);
      for (const listener of this.#goneListeners) this.#tell(() => listener({ name, epoch }, cause));
    }
  }

  #remember(ended: EndedNode): void {
    this.#ended.delete(ended.name);
    this.#ended.set(ended.name, ended);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= maxRemembered) break;
      this.#ended.delete(oldest);
    }
  }

  async #call(op: RegisterRequest['op'], more: Partial<RegisterRequest> = {}): Promise<RegisterReply> {
    const { name, epoch } = this.#self;
    const request: RegisterRequest = {
      op,
      name,
      instance: this.#instance,
      epoch,
      register: this.#register,
      since: this.#sequence,
      version: this.#version,
      stepMs: 2 * this.#heartbeatMs,
      deadMs: this.#options.deadMs ?? 5000,
      fresh: randomBytes(8).toString('hex'),
      ...more,
    };
    const reply = await this.#link.run((redis) => callRegister(this.#link, redis, request));
    if (reply.changed) {
      const told = this.#options.bus.publish(nodesTopic, new Uint8Array()).catch(() => undefined);
      // A node that stops closes its bus next.
      if (op === 'leave') await told;
    }
    return reply;
  }

  /** One operation at a time, in the order of the calls. */
  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(operation);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#options.log.error({ err: error }, 'node listener failed');
    }
  }
}
