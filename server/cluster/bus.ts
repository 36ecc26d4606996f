import { AppError, Code } from '../platform/errors.ts';

/**
 * What a node says to the other nodes, and hears from them.
 *
 * Topics. A frame published to a topic is handed to every node that is subscribed at that moment, itself included, at
 * most once each. All subscribers of one topic see its frames in one order. Two frames published by one node, one after
 * the other (awaited or not), keep that order; so do two of different nodes when the first was acknowledged before the
 * second was published. Nothing is promised between topics, and nothing is stored: a node that was away has missed what
 * was said (see `onGap`).
 */
export interface Bus {
  /** The name under which other nodes may `ask` this one. */
  readonly node: string;

  /**
   * Resolves after every handler this node itself has on the topic was called with the frame, so that a caller who
   * then acknowledges something cannot overtake its own fan-out. Other nodes may hear it before or after.
   *
   * The frame must not be changed once handed over. Rejects with INVALID_ARGUMENT above `maxFrameBytes`,
   * RESOURCE_EXHAUSTED when too much is waiting to be sent (the frame was not sent), UNAVAILABLE when the bus is
   * closed or out of reach (`retry` says whether the frame may have gone out nevertheless).
   */
  publish(topic: string, frame: Uint8Array): Promise<void>;

  /**
   * Once the promise resolves, no frame published anywhere afterwards is missed (but for a gap). The handler may keep
   * the frame, and must not change it. What a handler throws is logged and stops neither the frame nor the topic.
   */
  subscribe(topic: string, handler: FrameHandler): Promise<Subscription>;

  /**
   * Puts a question to one node and waits for its answer. Rejects with:
   * - UNAVAILABLE when the node is unknown, dead or gone, at once or when the deadline ends (`retry` is 'safe' when the
   *   question certainly did not arrive, otherwise 'unknown');
   * - DEADLINE_EXCEEDED (`retry` 'unknown') when a live node did not answer in time;
   * - UNIMPLEMENTED when the node answers no questions of this kind;
   * - the AppError that the other side's handler threw: code, message, retry and realtime code travel. Anything else
   *   it threw arrives as INTERNAL without its text, and so does an answer above `maxFrameBytes`;
   * - INVALID_ARGUMENT above `maxFrameBytes`, RESOURCE_EXHAUSTED above `maxPendingAsks`.
   * Questions between two nodes arrive in the order they were asked; a node may ask itself.
   */
  ask(node: string, kind: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array>;

  /** Answers questions of this kind from now on. One handler per kind and bus: a second one is a programming error. */
  answer(kind: string, handler: AnswerHandler): void;

  /**
   * Called when frames may have been lost, after the bus is whole again: whoever folds frames into a state takes a new
   * snapshot. Listeners are called in the order in which they were added, each awaited before the next, so what was
   * built first has repaired itself before its users look at it.
   */
  onGap(listener: GapListener): void;

  /** Whether frames can be sent and heard at this moment, as far as this node knows. */
  readonly isWhole: boolean;

  /** Frames that were dropped because their version is newer than `frameVersion`, since the start. */
  readonly droppedFrames: number;

  /** Ends all subscriptions and rejects what is pending. Everything asked of the bus afterwards is UNAVAILABLE. */
  close(): Promise<void>;
}

export type FrameHandler = (frame: Uint8Array) => void;
export type AnswerHandler = (body: Uint8Array, fromNode: string) => Promise<Uint8Array>;
export type GapListener = () => void | Promise<void>;

export interface Subscription {
  /** The handler is not called any more, from the moment of the call. Closing twice is harmless. */
  close(): Promise<void>;
}

/** What the cluster ports need of a log; a pino logger fits. */
export interface ClusterLog {
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** The largest frame, question or answer. */
export const maxFrameBytes = 1024 * 1024;

/** Questions one node may have open at a time. */
export const maxPendingAsks = 10_000;

/** The topic every node hears; its frames are `muster.cluster.ControlFrame`. */
export const controlTopic = 'control';

export function checkFrameSize(frame: Uint8Array): void {
  if (frame.byteLength > maxFrameBytes) {
    throw new AppError(Code.INVALID_ARGUMENT, `bus frame of ${frame.byteLength} bytes exceeds ${maxFrameBytes}`);
  }
}

/** What the asking side gets to see of an error thrown by the answering side. */
export function travellingError(error: unknown): AppError {
  if (!(error instanceof AppError)) return new AppError(Code.INTERNAL, 'internal error on the answering node');
  return new AppError(error.code, error.message, { retry: error.retry, realtimeCode: error.realtimeCode });
}
