import { AppError, Code, resourceExhausted, unavailable } from '../platform/errors.ts';
import { SmallSet } from '../platform/small.ts';
import type { AnswerHandler, Bus, ClusterLog, FrameHandler, GapListener, Subscription } from './bus.ts';
import { checkFrameSize, maxFrameBytes, maxPendingAsks, travellingError } from './bus.ts';
import type { MemoryHub } from './memory-hub.ts';

/** The bus of nodes that live in one process. There is no connection to lose, hence never a gap. */
export class MemoryBus implements Bus {
  readonly node: string;
  readonly droppedFrames = 0;
  readonly #wire: MemoryWire;
  readonly #log: ClusterLog;
  readonly #answers = new Map<string, AnswerHandler>();
  readonly #members = new Set<Member>();
  readonly #leave = (member: Member): void => {
    this.#wire.remove(member);
    this.#members.delete(member);
  };
  #pendingAsks = 0;
  #closed = false;

  constructor(hub: MemoryHub, node: string, log: ClusterLog) {
    this.node = node;
    this.#wire = hub.part(MemoryWire);
    this.#log = log;
    this.#wire.attach(node, (kind, body, from) => this.#handle(kind, body, from));
  }

  get isWhole(): boolean {
    return !this.#closed;
  }

  async publish(topic: string, frame: Uint8Array): Promise<void> {
    this.#checkOpen();
    checkFrameSize(frame);
    if (this.#wire.waiting >= maxWaitingFrames) throw resourceExhausted('too many bus frames are waiting');
    await this.#wire.publish(topic, frame);
  }

  async subscribe(topic: string, handler: FrameHandler): Promise<Subscription> {
    this.#checkOpen();
    const member = new Member(topic, handler, this.#log, this.#leave);
    this.#wire.add(member);
    this.#members.add(member);
    return member;
  }

  async ask(node: string, kind: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    this.#checkOpen();
    checkFrameSize(body);
    if (this.#pendingAsks >= maxPendingAsks) throw resourceExhausted('too many questions to other nodes are open');
    this.#pendingAsks++;
    try {
      return await this.#wire.ask({ from: this.node, to: node, kind, body, deadlineMs });
    } finally {
      this.#pendingAsks--;
    }
  }

  answer(kind: string, handler: AnswerHandler): void {
    if (this.#answers.has(kind)) throw new Error(`questions of kind ${kind} are already answered`);
    this.#answers.set(kind, handler);
  }

  onGap(_listener: GapListener): void {}

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const member of this.#members) this.#wire.remove(member);
    this.#members.clear();
    this.#wire.detach(this.node);
  }

  async #handle(kind: string, body: Uint8Array, from: string): Promise<Uint8Array> {
    const handler = this.#answers.get(kind);
    if (handler === undefined) throw new AppError(Code.UNIMPLEMENTED, `this node answers no questions of kind ${kind}`);
    try {
      const answer = await handler(body, from);
      // The asker did nothing wrong, so this is not the INVALID_ARGUMENT of checkFrameSize.
      if (answer.byteLength > maxFrameBytes) throw new Error(`answer of ${answer.byteLength} bytes is too large`);
      return answer;
    } catch (error) {
      if (!(error instanceof AppError)) this.#log.error({ err: error, kind, from }, 'answering a node failed');
      throw travellingError(error);
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw unavailable('the bus of this node is closed');
  }
}

/** Frames published by handlers that wait for their turn. */
const maxWaitingFrames = 65_536;

/** Frames delivered in one go when handlers publish more and more, before timers and sockets get their turn. */
const maxFramesPerTurn = 1024;

/** One that listens to a topic. There are several per socket: what they have in common is not made anew for each. */
class Member implements Subscription {
  readonly topic: string;
  readonly handler: FrameHandler;
  readonly log: ClusterLog;
  readonly #leave: (member: Member) => void;

  constructor(topic: string, handler: FrameHandler, log: ClusterLog, leave: (member: Member) => void) {
    this.topic = topic;
    this.handler = handler;
    this.log = log;
    this.#leave = leave;
  }

  async close(): Promise<void> {
    this.#leave(this);
  }
}

interface Question {
  readonly from: string;
  readonly to: string;
  readonly kind: string;
  readonly body: Uint8Array;
  readonly deadlineMs: number;
}

type Answerer = (kind: string, body: Uint8Array, from: string) => Promise<Uint8Array>;

/** The part of the hub that connects the buses. */
export class MemoryWire {
  readonly #topics = new Map<string, SmallSet<Member>>();
  readonly #queue: { topic: string; frame: Uint8Array; done: () => void }[] = [];
  readonly #nodes = new Map<string, Answerer>();
  /** Open questions, so that they fail at once when one of the two nodes goes away. */
  readonly #open = new Map<Question, (error: AppError) => void>();
  #delivering = false;

  get waiting(): number {
    return this.#queue.length;
  }

  attach(node: string, answerer: Answerer): void {
    if (this.#nodes.has(node)) throw new Error(`a node named ${node} is already on this hub`);
    this.#nodes.set(node, answerer);
  }

  detach(node: string): void {
    this.#nodes.delete(node);
    for (const [question, fail] of this.#open) {
      if (question.from === node || question.to === node) fail(gone(question.to, 'unknown'));
    }
  }

  add(member: Member): void {
    const members = this.#topics.get(member.topic);
    if (members === undefined) this.#topics.set(member.topic, new SmallSet<Member>().add(member));
    else members.add(member);
  }

  remove(member: Member): void {
    const members = this.#topics.get(member.topic);
    if (members === undefined) return;
    members.delete(member);
    if (members.size === 0) this.#topics.delete(member.topic);
  }

  /**
   * Delivers before it returns, except for frames published by a handler: those wait until the current frame has
   * reached everybody, or else two subscribers would see them in different order.
   */
  publish(topic: string, frame: Uint8Array): Promise<void> {
    const { promise, resolve } = withResolver();
    this.#queue.push({ topic, frame, done: resolve });
    if (!this.#delivering) this.#deliver();
    return promise;
  }

  #deliver(): void {
    this.#delivering = true;
    for (let sent = 0; sent < maxFramesPerTurn; sent++) {
      const next = this.#queue.shift();
      if (next === undefined) {
        this.#delivering = false;
        return;
      }
      for (const member of [...(this.#topics.get(next.topic) ?? [])]) {
        if (this.#topics.get(next.topic)?.has(member)) call(member, next.frame);
      }
      next.done();
    }
    setImmediate(() => this.#deliver());
  }

  async ask(question: Question): Promise<Uint8Array> {
    const { from, to, kind, body, deadlineMs } = question;
    const answerer = this.#nodes.get(to);
    if (answerer === undefined) throw gone(to, 'safe');
    return await new Promise<Uint8Array>((resolve, reject) => {
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#open.delete(question);
        then();
      };
      const timer = setTimeout(() => settle(() => reject(late(to, kind))), deadlineMs);
      this.#open.set(question, (error) => settle(() => reject(error)));
      queueMicrotask(() => {
        if (!this.#open.has(question)) return;
        answerer(kind, body, from).then(
          (answer) => settle(() => resolve(answer)),
          (error: unknown) => settle(() => reject(error)),
        );
      });
    });
  }
}

function call(member: Member, frame: Uint8Array): void {
  try {
    member.handler(frame);
  } catch (error) {
    member.log.error({ err: error, topic: member.topic }, 'bus handler failed');
  }
}

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const gone = (node: string, retry: 'safe' | 'unknown'): AppError =>
  new AppError(Code.UNAVAILABLE, `node ${node} is not reachable`, { retry });

const late = (node: string, kind: string): AppError =>
  new AppError(Code.DEADLINE_EXCEEDED, `node ${node} did not answer ${kind} in time`, { retry: 'unknown' });
