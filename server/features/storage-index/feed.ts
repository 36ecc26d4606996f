import type { Logger } from 'pino';
import { within } from '../../platform/within.ts';
import type { ObjectId } from '../storage/index.ts';

/** How a feed brings the indexes up to date. */
export interface FeedWork {
  /** Reads everything again. Calls `meanwhile` now and then, and lets nothing older replace what that refreshed. */
  reload(meanwhile: () => Promise<void>): Promise<void>;
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

interface Waiting {
  /** What it waits for was told by then. */
  readonly told: number;
  /** Also for what takes long: everything being read again. */
  readonly isPatient: boolean;
  readonly resolve: () => void;
}

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
  #waiting: Waiting[] = [];

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

  /**
   * Waits until the indexes have the objects that this was told of so far, though not long, and not while the database
   * is away.
   */
  async settled(): Promise<void> {
    if (this.#isFailing || this.#isStopped) return;
    await within(settleMs, this.#wait(false));
  }

  /** Waits until the indexes have everything that this was told of, or the database fails. */
  async caughtUp(): Promise<void> {
    await this.#wait(true);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    await this.#running;
  }

  async #wait(isPatient: boolean): Promise<void> {
    if (this.#known === this.#told) return;
    await new Promise<void>((resolve) => this.#waiting.push({ told: this.#told, isPatient, resolve }));
  }

  #release(told: number, isAll: boolean): void {
    const waiting = this.#waiting;
    const isReady = (each: Waiting): boolean => each.told <= told && (isAll || !each.isPatient);
    this.#waiting = waiting.filter((each) => !isReady(each));
    for (const each of waiting) if (isReady(each)) each.resolve();
  }

  #go(): void {
    this.#told++;
    if (!this.#isStopped) this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#known < this.#told && !this.#isStopped) {
      const told = this.#told;
      const [ids, owners, reloads] = [this.#ids, this.#owners, this.#reloads];
      [this.#ids, this.#owners, this.#reloads] = [new Map(), new Set(), false];
      try {
        // First what somebody may wait for: the rest can take long.
        await this.#refresh([...ids.values(), ...(owners.size > 0 ? this.#work.idsOf(owners) : [])]);
        if (reloads) await this.#work.reload(() => this.#meanwhile());
        this.#known = told;
        this.#isFailing = false;
        this.#release(told, true);
      } catch (error) {
        if (!this.#isFailing) this.#log.warn({ err: error }, 'could not read objects to index');
        this.#isFailing = true;
        this.#reloads ||= reloads;
        for (const owner of owners) this.#owners.add(owner);
        for (const [text, id] of ids) this.#ids.set(text, id);
        this.#release(this.#told, true);
        await this.#pause();
      }
    }
    this.#running = undefined;
    this.#release(this.#told, true);
  }

  /** Looks at single objects while everything is read again. */
  async #meanwhile(): Promise<void> {
    const [told, ids] = [this.#told, this.#ids];
    this.#ids = new Map();
    try {
      await this.#refresh([...ids.values()]);
    } catch (error) {
      for (const [text, id] of ids) this.#ids.set(text, id);
      throw error;
    }
    this.#release(told, false);
  }

  async #refresh(ids: readonly ObjectId[]): Promise<void> {
    for (let at = 0; at < ids.length; at += batchSize) await this.#work.refresh(ids.slice(at, at + batchSize));
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
