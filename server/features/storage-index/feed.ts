import type { Logger } from 'pino';
import { within } from '../../platform/within.ts';
import type { ObjectId } from '../storage/index.ts';

/** How a feed brings the indexes up to date. */
export interface FeedWork {
  /** Reads everything again. */
  reload(): Promise<void>;
  /** Reads these objects again. */
  refresh(ids: readonly ObjectId[]): Promise<void>;
  /** What the indexes hold of these users. */
  idsOf(ownerIds: ReadonlySet<string>): ObjectId[];
}

/** Objects of which it is known that they changed, and no more; beyond it, everything is read again. */
const maxPending = 100_000;
/** Objects that are read at a time. */
const batchSize = 500;
/** How long to wait after the database failed. */
const retryMs = 1000;
/** How long a call waits for the indexes to have what happened before it. */
const settleMs = 1000;

/**
 * Keeps indexes in step with the database. It is told which objects changed, and reads them, one batch at a time:
 * whatever the order in which news arrive, the last look at an object is later than its last change.
 */
export class ChangeFeed {
  readonly #work: FeedWork;
  readonly #log: Logger;
  #ids = new Map<string, ObjectId>();
  #owners = new Set<string>();
  #reloads = false;
  #running: Promise<void> | undefined;
  #isFailing = false;
  #wake: (() => void) | undefined;
  #isStopped = false;
  /** How often it was told something, and up to which time the indexes know. */
  #told = 0;
  #known = 0;
  #waiting: { readonly told: number; readonly resolve: () => void }[] = [];

  constructor(work: FeedWork, log: Logger) {
    this.#work = work;
    this.#log = log;
  }

  changed(ids: readonly ObjectId[]): void {
    if (this.#ids.size + ids.length > maxPending) this.#reloads = true;
    else for (const id of ids) this.#ids.set(JSON.stringify([id.collection, id.key, id.ownerId]), id);
    this.#go();
  }

  erased(ownerIds: readonly string[]): void {
    for (const id of ownerIds) this.#owners.add(id);
    this.#go();
  }

  /** Anything may have changed. */
  changedSomehow(): void {
    this.#reloads = true;
    this.#go();
  }

  /** Waits until the indexes have what this was told so far, though not long, and not while the database is away. */
  async settled(): Promise<void> {
    if (this.#known === this.#told || this.#isFailing || this.#isStopped) return;
    await within(settleMs, this.caughtUp());
  }

  /** Like `settled`, however long it takes. */
  async caughtUp(): Promise<void> {
    if (this.#known === this.#told) return;
    await new Promise<void>((resolve) => this.#waiting.push({ told: this.#told, resolve }));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    await this.#running;
  }

  #go(): void {
    this.#told++;
    if (this.#isStopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    while (this.#known < this.#told && !this.#isStopped) {
      const told = this.#told;
      const [ids, owners, reloads] = [this.#ids, this.#owners, this.#reloads];
      [this.#ids, this.#owners, this.#reloads] = [new Map(), new Set(), false];
      try {
        await this.#catchUp(ids, owners, reloads);
        this.#known = told;
        this.#isFailing = false;
        this.#release(told);
      } catch (error) {
        if (!this.#isFailing) this.#log.warn({ err: error }, 'could not read objects to index');
        this.#isFailing = true;
        this.#reloads ||= reloads;
        for (const owner of owners) this.#owners.add(owner);
        for (const [text, id] of ids) this.#ids.set(text, id);
        this.#release(this.#told);
        await this.#pause();
      }
    }
    this.#release(this.#told);
  }

  async #catchUp(ids: Map<string, ObjectId>, owners: Set<string>, reloads: boolean): Promise<void> {
    if (reloads) await this.#work.reload();
    const all = [...ids.values(), ...(owners.size > 0 ? this.#work.idsOf(owners) : [])];
    for (let at = 0; at < all.length; at += batchSize) await this.#work.refresh(all.slice(at, at + batchSize));
  }

  #release(told: number): void {
    const [ready, rest] = [
      this.#waiting.filter((each) => each.told <= told),
      this.#waiting.filter((each) => each.told > told),
    ];
    this.#waiting = rest;
    for (const { resolve } of ready) resolve();
  }

  async #pause(): Promise<void> {
    await within(
      retryMs,
      new Promise<void>((resolve) => {
        this.#wake = resolve;
      }),
    );
  }
}
