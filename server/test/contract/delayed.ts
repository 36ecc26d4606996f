import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerHandler, Bus, FrameHandler, GapListener, Subscription } from '../../cluster/bus.ts';
import { checkFrameSize } from '../../cluster/bus.ts';
import type { NodeId } from '../../cluster/nodes.ts';
import type { NewPresence, Presence, PresenceTracker, TrackResult } from '../../cluster/presence.ts';
import type { Stream } from '../../cluster/stream.ts';
import { unavailable } from '../../platform/errors.ts';
import type { Random } from './support.ts';

/**
 * A node's connection to what the nodes share: what it says arrives some time later, what it is told it hears some time
 * later, each in order. With it the in-memory ports behave as ports with a server between them do, which shows that the
 * contract asks nothing that only one process can give.
 */
export class DelayedLink {
  readonly #random: Random;
  #commands: Promise<unknown> = Promise.resolve();
  #inbox: Promise<unknown> = Promise.resolve();
  #cut = false;

  constructor(random: Random) {
    this.#random = random;
  }

  /** What is on its way, or comes later, is lost. */
  cut(): void {
    this.#cut = true;
  }

  /** Resolves when the command was carried out and this node has heard all that was said until then. */
  command<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#commands.then(async () => {
      await this.#delay();
      if (this.#cut) throw unavailable('the link is cut');
      const value = run();
      const heard = this.#inbox;
      return { value, heard };
    });
    this.#commands = result.catch(() => {});
    return result.then(async ({ value, heard }) => {
      const settled = await value;
      await heard;
      return settled;
    });
  }

  hear(handle: () => void): void {
    this.#inbox = this.#inbox.then(async () => {
      await this.#delay();
      if (!this.#cut) handle();
    });
  }

  async #delay(): Promise<void> {
    const turns = this.#random.below(4);
    if (turns === 3 && this.#random.chance(0.05)) await sleep(1);
    for (let turn = 0; turn < turns; turn++) await new Promise((done) => setImmediate(done));
  }
}

export class DelayedBus implements Bus {
  readonly #inner: Bus;
  readonly #link: DelayedLink;
  readonly #logError: () => void;
  #closed = false;

  constructor(inner: Bus, link: DelayedLink, logError: () => void) {
    this.#inner = inner;
    this.#link = link;
    this.#logError = logError;
  }

  get node(): string {
    return this.#inner.node;
  }

  get isWhole(): boolean {
    return this.#inner.isWhole;
  }

  get droppedFrames(): number {
    return this.#inner.droppedFrames;
  }

  async publish(topic: string, frame: Uint8Array): Promise<void> {
    checkFrameSize(frame);
    await this.#link.command(() => this.#inner.publish(topic, frame));
  }

  async subscribe(topic: string, handler: FrameHandler): Promise<Subscription> {
    let closed = false;
    const subscription = await this.#link.command(() =>
      this.#inner.subscribe(topic, (frame) => {
        this.#link.hear(() => {
          if (closed || this.#closed) return;
          try {
            handler(frame);
          } catch {
            this.#logError();
          }
        });
      }),
    );
    return {
      close: async () => {
        closed = true;
        await this.#link.command(() => subscription.close());
      },
    };
  }

  async ask(node: string, kind: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    checkFrameSize(body);
    return await this.#link.command(() => this.#inner.ask(node, kind, body, deadlineMs));
  }

  answer(kind: string, handler: AnswerHandler): void {
    this.#inner.answer(kind, handler);
  }

  onGap(listener: GapListener): void {
    this.#inner.onGap(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#inner.close();
  }
}

export class DelayedPresence implements PresenceTracker {
  readonly #inner: PresenceTracker;
  readonly #link: DelayedLink;

  constructor(inner: PresenceTracker, link: DelayedLink) {
    this.#inner = inner;
    this.#link = link;
  }

  openSession(sessionId: string): void {
    this.#inner.openSession(sessionId);
  }

  track(presence: NewPresence): Promise<TrackResult> {
    return this.#link.command(() => this.#inner.track(presence));
  }

  trackMany(presences: readonly NewPresence[]): Promise<boolean[]> {
    return this.#link.command(() => this.#inner.trackMany(presences));
  }

  update(presence: NewPresence): Promise<void> {
    return this.#link.command(() => this.#inner.update(presence));
  }

  untrack(sessionId: string, stream: Stream, userId: string): Promise<boolean> {
    return this.#link.command(() => this.#inner.untrack(sessionId, stream, userId));
  }

  untrackSession(sessionId: string): Promise<void> {
    return this.#link.command(() => this.#inner.untrackSession(sessionId));
  }

  untrackUser(userId: string, stream: Stream): Promise<number> {
    return this.#link.command(() => this.#inner.untrackUser(userId, stream));
  }

  closeStream(stream: Stream): Promise<number> {
    return this.#link.command(() => this.#inner.closeStream(stream));
  }

  list(stream: Stream): Promise<Presence[]> {
    return this.#link.command(() => this.#inner.list(stream));
  }

  holds(sessionId: string, stream: Stream, userId: string): boolean {
    return this.#inner.holds(sessionId, stream, userId);
  }

  counts(streams: readonly Stream[]): Promise<number[]> {
    return this.#link.command(() => this.#inner.counts(streams));
  }

  glance(streams: readonly Stream[]): Promise<number[]> {
    return this.#link.command(() => this.#inner.glance(streams));
  }

  sweep(node: NodeId): Promise<number> {
    return this.#link.command(() => this.#inner.sweep(node));
  }

  localCount(): number {
    return this.#inner.localCount();
  }
}
