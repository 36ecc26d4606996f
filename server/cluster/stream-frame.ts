import Long from 'long';
import { muster } from '../wire/generated/messages.js';
import type { Presence } from './presence.ts';
import { parseStreamKey, type Stream, streamKey } from './stream.ts';

/** What a frame on a stream's topic says. */
export type StreamMessage =
  | {
      readonly kind: 'envelope';
      /** The stream's key. */
      readonly key: string;
      /** An encoded nakama.realtime.Envelope. */
      readonly envelope: Uint8Array;
      /** When not empty: only these sessions receive it. */
      readonly sessionIds: readonly string[];
    }
  | {
      /** A message of a stream that has one order on all nodes. */
      readonly kind: 'ordered';
      readonly key: string;
      readonly position: StreamPosition;
      /** Without one the frame only says how far the stream has come. */
      readonly envelope: Uint8Array | undefined;
      /** Whose last message it is; '' for nobody's. */
      readonly leaverId: string;
    }
  | ({
      /** Clients may see all of `leaves` and `joins`, at least one of which is not empty. */
      readonly kind: 'presences';
      readonly key: string;
      /** What happened to hidden presences by the same change: only for nodes. */
      readonly hidden: PresenceEvent;
      /** They left because their node was given up for dead. If it is not, it comes back with them. */
      readonly sweep: boolean;
    } & PresenceEvent)
  | {
      /** Only hidden presences came or went: for clients nothing happened. */
      readonly kind: 'hidden';
      readonly key: string;
      readonly hidden: PresenceEvent;
      readonly sweep: boolean;
    }
  | {
      /** All presences are gone, without leaves. */
      readonly kind: 'closed';
      readonly key: string;
    };

/** Where a message stands in its stream's order, which those who store it give out. */
export interface StreamPosition {
  /** One more than that of the message before it. */
  readonly sequence: bigint;
  /** Microseconds since 1970; later than that of the message before it. */
  readonly time: bigint;
}

export interface PresenceEvent {
  /** They happened before the joins. */
  readonly leaves: readonly Presence[];
  readonly joins: readonly Presence[];
}

/** Everything that changed, hidden or not: what a node folds to know who is on the stream. */
export function allChanges(message: StreamMessage): PresenceEvent {
  if (message.kind === 'hidden') return message.hidden;
  if (message.kind !== 'presences') return { leaves: [], joins: [] };
  const { leaves, joins, hidden } = message;
  return { leaves: [...leaves, ...hidden.leaves], joins: [...joins, ...hidden.joins] };
}

/** The part of a list that clients may see. */
export const visible = (presences: readonly Presence[]): Presence[] => presences.filter((presence) => !presence.hidden);

export function encodeEnvelope(stream: Stream, envelope: Uint8Array, sessionIds: string[] = []): Uint8Array {
  return encode({ stream: streamKey(stream), envelope, session_ids: sessionIds });
}

/**
 * A message at its place in the order; without an envelope: that the stream has come so far.
 * @param leaverId the user for whom it is the last one, if any
 */
export function encodeOrdered(
  stream: Stream,
  position: StreamPosition,
  envelope?: Uint8Array,
  leaverId = '',
): Uint8Array {
  const { sequence, time } = position;
  return encode({
    stream: streamKey(stream),
    position: { sequence: Long.fromBigInt(sequence), time: Long.fromBigInt(time) },
    leaver_id: leaverId,
    ...(envelope === undefined ? {} : { envelope }),
  });
}

/** `event` has hidden presences among the others. */
export function encodePresences(stream: Stream, event: PresenceEvent, { sweep = false } = {}): Uint8Array {
  return encode({
    stream: streamKey(stream),
    presences: { joins: event.joins.map(toWire), leaves: event.leaves.map(toWire) },
    ...(sweep ? { sweep } : {}),
  });
}

export function encodeClosed(stream: Stream): Uint8Array {
  return encode({ stream: streamKey(stream), closed: true });
}

/** Undefined for a kind of message that only newer nodes know. Throws when the bytes are no StreamFrame. */
export function decodeStreamFrame(frame: Uint8Array): StreamMessage | undefined {
  const wire = muster.cluster.StreamFrame.decode(frame);
  const key = wire.stream;
  if (wire.presences !== null) {
    const stream = parseStreamKey(key);
    const { joins, leaves } = wire.presences;
    const fromWire = (presence: WirePresence): Presence => toPresence(presence, stream);
    return toMessage(key, { leaves: leaves.map(fromWire), joins: joins.map(fromWire) }, wire.sweep);
  }
  if (wire.closed) return { kind: 'closed', key };
  const hasEnvelope = Object.hasOwn(wire, 'envelope');
  if (wire.position !== null) {
    const { sequence, time } = wire.position;
    const position = { sequence: sequence.toBigInt(), time: time.toBigInt() };
    const envelope = hasEnvelope ? wire.envelope : undefined;
    return { kind: 'ordered', key, position, envelope, leaverId: wire.leaver_id };
  }
  if (!hasEnvelope) return undefined;
  return { kind: 'envelope', key, envelope: wire.envelope, sessionIds: wire.session_ids };
}

function toMessage(key: string, event: PresenceEvent, sweep: boolean): StreamMessage {
  const isHidden = (presence: Presence): boolean => presence.hidden;
  const hidden = { leaves: event.leaves.filter(isHidden), joins: event.joins.filter(isHidden) };
  const [leaves, joins] = [visible(event.leaves), visible(event.joins)];
  if (leaves.length + joins.length === 0) return { kind: 'hidden', key, hidden, sweep };
  return { kind: 'presences', key, leaves, joins, hidden, sweep };
}

/** The bytes a presence takes in an event. */
export const presenceBytes = (presence: Presence): number =>
  muster.cluster.StreamPresence.encode(toWire(presence)).finish().byteLength;

type WirePresence = muster.cluster.StreamPresence;
type WireFrame = Parameters<typeof muster.cluster.StreamFrame.encode>[0];

const encode = (frame: WireFrame): Uint8Array => muster.cluster.StreamFrame.encode(frame).finish();

const toWire = (presence: Presence): WirePresence => ({
  node: presence.node,
  session_id: presence.sessionId,
  user_id: presence.userId,
  username: presence.username,
  hidden: presence.hidden,
  persistence: presence.persistence,
  status: presence.status,
});

const toPresence = (wire: WirePresence, stream: Stream): Presence => ({
  node: wire.node,
  sessionId: wire.session_id,
  userId: wire.user_id,
  username: wire.username,
  hidden: wire.hidden,
  persistence: wire.persistence,
  status: wire.status,
  stream,
});
