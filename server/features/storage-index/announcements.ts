import type { Logger } from 'pino';
import type { Bus, Subscription } from '../../cluster/bus.ts';
import { within } from '../../platform/within.ts';
import { type Init, muster } from '../../wire/generated/messages.js';
import type { ObjectId } from '../storage/index.ts';

const topic = 'storage-index';
/** Objects per frame: their names take a kilobyte at most. */
const idsPerFrame = 500;
/** How long a write waits for the others to be told. */
const tellWaitMs = 100;
/** How often it tries to tell what it could not. */
const retryMs = 1000;

/** How a node tells the others which objects changed. What they make of it comes from the database. */
export class Announcements {
  readonly #bus: Bus;
  readonly #log: Logger;
  #subscription: Subscription | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  /** @param hear is called with what other nodes tell. */
  async start(hear: (change: muster.cluster.StorageChange) => void): Promise<void> {
    this.#subscription = await this.#bus.subscribe(topic, (bytes) => {
      const change = muster.cluster.StorageChange.decode(bytes);
      if (change.node !== this.#bus.node) hear(change);
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#retry);
    await this.#subscription?.close();
  }

  /** Never rejects, and does not wait long. What cannot be told now is told later, if less exactly. */
  async changed(ids: readonly ObjectId[]): Promise<void> {
    for (let at = 0; at < ids.length; at += idsPerFrame) {
      const some = ids.slice(at, at + idsPerFrame);
      await this.#tell({ ids: some.map(({ collection, key, ownerId }) => ({ collection, key, owner_id: ownerId })) });
    }
  }

  async erased(ownerId: string): Promise<void> {
    await this.#tell({ owner_ids: [ownerId] });
  }

  async #tell(change: Init<muster.cluster.StorageChange>): Promise<void> {
    if (!this.#bus.isWhole) {
      this.#tellLater();
      return;
    }
    const told = this.#publish(change).catch((error) => {
      if (this.#retry === undefined) this.#log.warn({ err: error }, 'could not tell the other nodes of stored objects');
      this.#tellLater();
    });
    await within(tellWaitMs, told);
  }

  #tellLater(): void {
    if (this.#isStopped) return;
    this.#retry ??= setInterval(() => {
      if (!this.#bus.isWhole) return;
      const retry = this.#retry;
      this.#retry = undefined;
      clearInterval(retry);
      this.#publish({ unknown: true }).catch(() => this.#tellLater());
    }, retryMs).unref();
  }

  #publish(change: Init<muster.cluster.StorageChange>): Promise<void> {
    const bytes = muster.cluster.StorageChange.encode({ ...change, node: this.#bus.node }).finish();
    return this.#bus.publish(topic, bytes);
  }
}
