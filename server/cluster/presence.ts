import type { NodeId } from './nodes.ts';
import type { Stream } from './stream.ts';

/** Somebody on a stream. A session holds at most one presence per (stream, userId). */
export interface Presence {
  readonly node: string;
  readonly sessionId: string;
  readonly userId: string;
  readonly username: string;
  /** Receives everything and counts, but clients never get to see it: neither in lists nor in events. */
  readonly hidden: boolean;
  readonly persistence: boolean;
  readonly status: string;
  readonly stream: Stream;
}

/** A presence as its own node puts it in; the node is the one that owns the port. */
export type NewPresence = Omit<Presence, 'node'>;

export interface TrackResult {
  /** False when the presence was there already: its old meta stays, and no event goes out. */
  readonly isNew: boolean;
  /** Who is on the stream, hidden ones and itself included, at the moment of the insertion; in no particular order. */
  readonly members: Presence[];
}

/**
 * Who is on which stream, over all nodes.
 *
 * Events. Every change goes out as a `StreamFrame` (see stream-frame.ts) on the stream's bus topic, in the order of the
 * changes, among the stream's messages: all nodes see messages and events of one stream in one order. For one presence
 * joins and leaves alternate. A change resolves after this node's own subscribers of the topic were called with its
 * event. Changes called one after the other by one node, awaited or not, happen in that order. An operation makes one
 * event per stream, split only above `maxEventPresences`; in one event the leaves come before the joins. Hidden
 * presences travel too, because nodes must learn who receives and who no longer does (another node may have ended it);
 * `decodeStreamFrame` keeps them apart from what clients may see, and `allChanges` puts them together.
 *
 * Folding. `members` is the state right after the presence's own join event: later events of the topic, applied to it,
 * give the truth at any time. `list` has no such fixed place: whoever takes it while events flow keeps the events seen
 * since the call and applies them (again) on top; the last event of a presence wins. Do that after `Bus.onGap`, when
 * events may be missing. When a list is there, this node's subscribers have heard the events of all that it shows.
 *
 * Sessions. A session is opened on the node that has its socket and only there it can be tracked. `untrackSession`
 * closes it for good: whatever is tracked for it afterwards, or was refused, leaves nothing behind. Ids are not reused.
 * The other operations work from any node.
 *
 * Dead nodes. `sweep` makes an end of everything the node held under that epoch or an older one, including anything it
 * may still try after coming back to life.
 *
 * Errors: FAILED_PRECONDITION for a session that is not open here; INVALID_ARGUMENT above `maxPresenceBytes`;
 * RESOURCE_EXHAUSTED above `maxSessionPresences`; UNAVAILABLE when the shared state is out of reach, or the session's
 * epoch was swept. Nothing has changed then, unless `retry` is 'unknown'. Taking a session of this node off a stream
 * does not fail for that: it is made up for as soon as possible.
 */
export interface PresenceTracker {
  /** Lets the session be tracked, from now until `untrackSession`. */
  openSession(sessionId: string): void;

  /** Puts the session on the stream: one join event, or nothing when it is there already. */
  track(presence: NewPresence): Promise<TrackResult>;

  /** As `track` for several, without the lists; tells for each whether it is new. All are refused or none. */
  trackMany(presences: readonly NewPresence[]): Promise<boolean[]>;

  /** Replaces the meta: leave with the old and join with the new in one event; just a join if it was not there. */
  update(presence: NewPresence): Promise<void>;

  /** False when it was not there (then no event). */
  untrack(sessionId: string, stream: Stream, userId: string): Promise<boolean>;

  /** Closes a session of this node and takes it off all its streams. Repeating it is harmless. */
  untrackSession(sessionId: string): Promise<void>;

  /** Takes all sessions of a user off one stream, on all nodes; tells how many. */
  untrackUser(userId: string, stream: Stream): Promise<number>;

  /** Empties the stream; instead of leaves one `closed` frame goes out. Tells how many presences there were. */
  closeStream(stream: Stream): Promise<number>;

  /** All presences, hidden ones included; in no particular order. */
  list(stream: Stream): Promise<Presence[]>;

  /**
   * Is a session of this node on the stream, as far as this node knows? It may not have heard yet that somebody took it
   * off. What it is going to put back, after the loss of the shared state or its own supposed death, it holds.
   */
  holds(sessionId: string, stream: Stream, userId: string): boolean;

  /** Presences per stream, hidden ones included, in the order of the question. */
  counts(streams: readonly Stream[]): Promise<number[]>;

  /**
   * As `counts`, for whoever would rather know too little than wait: while the shared state is slow or out of reach,
   * only what this node itself holds counts.
   */
  glance(streams: readonly Stream[]): Promise<number[]>;

  /**
   * Removes the presences of a node that is gone, with leave events; tells how many this call removed. When several
   * nodes sweep the same one, each presence is still removed, and announced, once.
   */
  sweep(node: NodeId): Promise<number>;

  /** Presences of this node's sessions. */
  localCount(): number;
}

/** Presences in one event; a larger change is split. With `maxPresenceBytes` this keeps an event below a frame. */
export const maxEventPresences = 200;

/** Encoded size of one presence (ids, username, status). */
export const maxPresenceBytes = 4096;

/** Streams one session may be on. */
export const maxSessionPresences = 4096;

/** What tells presences of one stream apart. Flat, as the key of a stream is. */
export const presenceKey = (presence: { readonly sessionId: string; readonly userId: string }): string =>
  [presence.sessionId, presence.userId].join('.');
