import type { Clock } from '../platform/clock.ts';
import type { ClusterLog } from './bus.ts';
import type { MemoryHub } from './memory-hub.ts';
import type { GoneCause, LostCause, NodeDirectory, NodeId, NodeInfo } from './nodes.ts';

export interface MemoryNodesOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: ClusterLog;
  readonly address?: string;
}

/** The directory of nodes that live in one process. Nobody dies by himself there: `freeze` stands in for it. */
export class MemoryNodes implements NodeDirectory {
  readonly #register: MemoryRegister;
  readonly #options: MemoryNodesOptions;
  readonly #gone: ((node: NodeId, cause: GoneCause) => void)[] = [];
  readonly #lost: ((lost: NodeId, cause: LostCause) => void)[] = [];
  #self: NodeId;
  #frozen = false;
  #missed: LostCause | undefined;

  constructor(hub: MemoryHub, options: MemoryNodesOptions) {
    this.#register = hub.part(MemoryRegister);
    this.#options = options;
    this.#self = { name: options.name, epoch: 0 };
  }

  get self(): NodeId {
    return this.#self;
  }

  async start(): Promise<void> {
    if (this.#register.holds(this)) return;
    this.#join();
  }

  async stop(): Promise<void> {
    if (this.#register.holds(this)) this.#register.end(this.#self.name, 'left');
  }

  async list(): Promise<NodeInfo[]> {
    return this.#register.list();
  }

  onGone(listener: (node: NodeId, cause: GoneCause) => void): void {
    this.#gone.push(listener);
  }

  onSelfLost(listener: (lost: NodeId, cause: LostCause) => void): void {
    this.#lost.push(listener);
  }

  /** For tests: the process stands still (or is dead, if it never thaws) until the others give it up. */
  freeze(): void {
    this.#frozen = true;
    if (this.#register.holds(this)) this.#register.end(this.#self.name, 'died');
  }

  /** For tests: the process runs again, and finds out what became of it. */
  thaw(): void {
    this.#frozen = false;
    const missed = this.#missed;
    this.#missed = undefined;
    if (missed !== undefined) this.#lose(missed);
  }

  /** The register's word that another node's epoch ended. */
  hearGone(node: NodeId, cause: GoneCause): void {
    if (this.#frozen) return;
    for (const listener of this.#gone) this.#call(() => listener(node, cause));
  }

  /** The register's word that this node's own epoch was ended by others. */
  hearLost(cause: LostCause): void {
    if (this.#frozen) this.#missed = cause;
    else this.#lose(cause);
  }

  #lose(cause: LostCause): void {
    const lost = this.#self;
    // Somebody may have taken the name while this node was away.
    const final = cause === 'died' && !this.#register.has(lost.name) ? 'died' : 'replaced';
    if (final === 'died') this.#join();
    for (const listener of this.#lost) this.#call(() => listener(lost, final));
  }

  #join(): void {
    const { name, clock, address } = this.#options;
    this.#self = { name, epoch: this.#register.nextEpoch(name) };
    const info: NodeInfo = { ...this.#self, startedAt: clock.now(), ...(address === undefined ? {} : { address }) };
    this.#register.join(this, info);
  }

  #call(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#options.log.error({ err: error }, 'node listener failed');
    }
  }
}

/** The part of the hub that knows who is there. */
class MemoryRegister {
  readonly #epochs = new Map<string, number>();
  readonly #live = new Map<string, { node: MemoryNodes; info: NodeInfo }>();

  holds(node: MemoryNodes): boolean {
    return this.#live.get(node.self.name)?.node === node;
  }

  has(name: string): boolean {
    return this.#live.has(name);
  }

  list(): NodeInfo[] {
    const infos = [...this.#live.values()].map(({ info }) => info);
    return infos.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  nextEpoch(name: string): number {
    const epoch = (this.#epochs.get(name) ?? 0) + 1;
    this.#epochs.set(name, epoch);
    return epoch;
  }

  join(node: MemoryNodes, info: NodeInfo): void {
    const earlier = this.#live.get(info.name);
    this.#live.set(info.name, { node, info });
    if (earlier !== undefined) this.#announce(earlier, 'replaced');
  }

  end(name: string, cause: 'left' | 'died'): void {
    const ended = this.#live.get(name);
    if (ended === undefined) return;
    this.#live.delete(name);
    this.#announce(ended, cause);
  }

  #announce(ended: { node: MemoryNodes; info: NodeInfo }, cause: GoneCause): void {
    const { name, epoch } = ended.info;
    for (const { node } of [...this.#live.values()]) node.hearGone({ name, epoch }, cause);
    if (cause !== 'left') ended.node.hearLost(cause);
  }
}
