import {
  AppError,
  type Code,
  codeNames,
  Code as codes,
  RealtimeCode,
  resourceExhausted,
  unavailable,
} from '../platform/errors.ts';
import {
  type AnswerHandler,
  type ClusterLog,
  checkFrameSize,
  maxFrameBytes,
  maxPendingAsks,
  travellingError,
} from './bus.ts';
import { decodeLetter, encodeLetter, type LetterError, type Question } from './bus-redis-frame.ts';
import type { RedisSender } from './bus-redis-sender.ts';
import type { RedisLink } from './redis-link.ts';

/** Questions of other nodes that are being answered here. */
const maxOpenAnswers = 10_000;

/** How often it is looked whether those who were asked are still there. */
const watchMs = 200;

/** Longest text of an error that travels. */
const maxErrorText = 4096;

export interface RedisAsksOptions {
  readonly link: RedisLink;
  readonly sender: RedisSender;
  readonly node: string;
  /** The channel on which this bus, and no other, hears the answers. */
  readonly replyChannel: string;
  readonly log: ClusterLog;
}

interface Open {
  readonly node: string;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: AppError) => void;
  /** When Redis handed the question over; 0 before. */
  sentAt: number;
}

/** Questions and answers between nodes, over a channel per name for questions and one per bus for answers. */
export class RedisAsks {
  readonly #options: RedisAsksOptions;
  readonly #handlers = new Map<string, AnswerHandler>();
  readonly #open = new Map<number, Open>();
  readonly #watcher: NodeJS.Timeout;
  #lastId = 0;
  #answering = 0;
  #watching = false;

  constructor(options: RedisAsksOptions) {
    this.#options = options;
    this.#watcher = setInterval(() => void this.#watch(), watchMs).unref();
  }

  answer(kind: string, handler: AnswerHandler): void {
    if (this.#handlers.has(kind)) throw new Error(`questions of kind ${kind} are already answered`);
    this.#handlers.set(kind, handler);
  }

  async ask(node: string, kind: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    checkFrameSize(body);
    if (this.#open.size >= maxPendingAsks) throw resourceExhausted('too many questions to other nodes are open');
    const { link, sender, node: from, replyChannel } = this.#options;
    const id = ++this.#lastId;
    const letter: Question = { what: 'question', id, from, replyTo: replyChannel, kind };
    const sent = sender.send(inboxChannel(link, node), encodeLetter(letter, body), false);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        const open: Open = { node, resolve, reject, sentAt: 0 };
        this.#open.set(id, open);
        timer = setTimeout(() => reject(late(node, kind)), deadlineMs);
        sent.then((receivers) => {
          open.sentAt = performance.now();
          if (receivers === 0) reject(gone(node, 'safe'));
        }, reject);
      });
    } finally {
      clearTimeout(timer);
      this.#open.delete(id);
    }
  }

  /** Answers a question to this node. Never rejects. */
  async question({ id, from, kind, replyTo }: Question, body: Uint8Array): Promise<void> {
    let reply: Uint8Array;
    try {
      reply = encodeLetter({ what: 'answer', id }, await this.#handle(kind, body, from));
    } catch (error) {
      reply = encodeLetter({ what: 'failure', id, error: toLetter(travellingError(error)) });
    }
    try {
      await this.#options.sender.send(replyTo, reply, false);
    } catch (error) {
      this.#options.log.warn({ err: error, kind, from }, 'an answer to another node could not be sent');
    }
  }

  /** An answer to a question of this bus, or a late one that nobody waits for. */
  reply(payload: Uint8Array): void {
    const { letter, body } = decodeLetter(payload);
    if (letter.what === 'answer') this.#open.get(letter.id)?.resolve(body);
    else if (letter.what === 'failure') this.#open.get(letter.id)?.reject(fromLetter(letter.error));
  }

  /** No answer can arrive any more to what was asked until now. */
  deaf(): void {
    for (const { node, sentAt, reject } of this.#open.values()) if (sentAt > 0) reject(gone(node, 'unknown'));
  }

  close(): void {
    clearInterval(this.#watcher);
    const closed = unavailable('the bus of this node is closed');
    for (const { node, sentAt, reject } of this.#open.values()) reject(sentAt > 0 ? gone(node, 'unknown') : closed);
  }

  async #handle(kind: string, body: Uint8Array, from: string): Promise<Uint8Array> {
    const handler = this.#handlers.get(kind);
    if (handler === undefined)
      throw new AppError(codes.UNIMPLEMENTED, `this node answers no questions of kind ${kind}`);
    if (this.#answering >= maxOpenAnswers) throw resourceExhausted('this node has too many questions to answer');
    this.#answering++;
    try {
      const answer = await handler(body, from);
      // The asker did nothing wrong, so this is not the INVALID_ARGUMENT of checkFrameSize.
      if (answer.byteLength > maxFrameBytes) throw new Error(`answer of ${answer.byteLength} bytes is too large`);
      return answer;
    } catch (error) {
      if (!(error instanceof AppError)) this.#options.log.error({ err: error, kind, from }, 'answering a node failed');
      throw error;
    } finally {
      this.#answering--;
    }
  }

  /** Ends the questions to nodes that have gone after they were asked. */
  async #watch(): Promise<void> {
    if (this.#watching || this.#open.size === 0 || !this.#options.link.isUp) return;
    this.#watching = true;
    try {
      const { link } = this.#options;
      const since = performance.now();
      const channels = new Set([...this.#open.values()].map(({ node }) => inboxChannel(link, node)));
      const reply = await link.run((redis) =>
        link.isCluster ? redis.pubsub('SHARDNUMSUB', ...channels) : redis.pubsub('NUMSUB', ...channels),
      );
      const silent = new Set([...channels].filter((_, i) => Number(reply[2 * i + 1]) === 0));
      for (const { node, sentAt, reject } of this.#open.values()) {
        if (sentAt > 0 && sentAt < since && silent.has(inboxChannel(link, node))) reject(gone(node, 'unknown'));
      }
    } catch {
      // Then the deadlines decide.
    } finally {
      this.#watching = false;
    }
  }
}

/** Where a node hears questions. */
export const inboxChannel = (link: RedisLink, node: string): string => link.key(`inbox:${node}`);

const toLetter = ({ code, message, retry, realtimeCode }: AppError): LetterError => ({
  code,
  message: message.slice(0, maxErrorText),
  retry,
  realtimeCode,
});

/** A newer node may know codes that this one does not. */
function fromLetter({ code, message, retry, realtimeCode }: LetterError): AppError {
  const isKnown = Object.hasOwn(codeNames, code);
  const isKnownRealtime = Object.values<number>(RealtimeCode).includes(realtimeCode);
  return new AppError(isKnown ? (code as Code) : codes.UNKNOWN, message, {
    retry,
    ...(isKnownRealtime ? { realtimeCode: realtimeCode as RealtimeCode } : {}),
  });
}

const gone = (node: string, retry: 'safe' | 'unknown'): AppError =>
  new AppError(codes.UNAVAILABLE, `node ${node} is not reachable`, { retry });

const late = (node: string, kind: string): AppError =>
  new AppError(codes.DEADLINE_EXCEEDED, `node ${node} did not answer ${kind} in time`, { retry: 'unknown' });
