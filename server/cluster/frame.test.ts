import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, frameVersion } from './frame.ts';
import type { Presence } from './presence.ts';
import { makeStream, streamKey } from './stream.ts';
import {
  allChanges,
  decodeStreamFrame,
  encodeClosed,
  encodeEnvelope,
  encodeOrdered,
  encodePresences,
  type PresenceEvent,
  type StreamMessage,
} from './stream-frame.ts';

describe('frame version', () => {
  it('gives the payload back', () => {
    for (const payload of [new Uint8Array(0), Uint8Array.of(0, 1, 255)]) {
      expect(decodeFrame(encodeFrame(payload))).toEqual(payload);
    }
  });

  it('drops frames of a newer version, of none, and empty ones', () => {
    expect(decodeFrame(Uint8Array.of(frameVersion + 1, 7))).toBeUndefined();
    expect(decodeFrame(Uint8Array.of(255, 7))).toBeUndefined();
    expect(decodeFrame(Uint8Array.of(0, 7))).toBeUndefined();
    expect(decodeFrame(new Uint8Array(0))).toBeUndefined();
  });
});

describe('stream frames', () => {
  const stream = makeStream(2, '', '', 'a.b');
  const key = streamKey(stream);
  const presence: Presence = {
    node: 'n',
    sessionId: 's',
    userId: 'u',
    username: 'Ann',
    hidden: false,
    persistence: true,
    status: 'hi',
    stream,
  };

  it('carry an envelope, an empty one too, for all or for some', () => {
    const all = decodeStreamFrame(encodeEnvelope(stream, Uint8Array.of(1, 2)));
    expect(all).toMatchObject({ kind: 'envelope', key, sessionIds: [] });
    const some = decodeStreamFrame(encodeEnvelope(stream, new Uint8Array(0), ['s1', 's2']));
    expect(some).toMatchObject({ kind: 'envelope', sessionIds: ['s1', 's2'] });
    expect(all?.kind === 'envelope' && [...all.envelope]).toEqual([1, 2]);
    expect(some?.kind === 'envelope' && [...some.envelope]).toEqual([]);
  });

  it('carry a message at its place, or only the place', () => {
    const position = { sequence: 2n ** 53n + 1n, time: 1_700_000_000_123_457n };
    const message = decodeStreamFrame(encodeOrdered(stream, position, Uint8Array.of(1, 2)));
    expect(message).toMatchObject({ kind: 'ordered', key, position });
    expect(message?.kind === 'ordered' && [...(message.envelope ?? [])]).toEqual([1, 2]);
    const empty = decodeStreamFrame(encodeOrdered(stream, position, new Uint8Array(0)));
    expect(empty?.kind === 'ordered' && empty.envelope?.length).toBe(0);
    const place = decodeStreamFrame(encodeOrdered(stream, position));
    expect(place).toEqual({ kind: 'ordered', key, position, envelope: undefined, leaverId: '' });
    const last = decodeStreamFrame(encodeOrdered(stream, position, Uint8Array.of(1), 'leaver'));
    expect(last).toMatchObject({ kind: 'ordered', position, leaverId: 'leaver' });
  });

  const nobody = { leaves: [], joins: [] };
  const ordinary = { sweep: false };
  const secret = { ...presence, sessionId: 's2', hidden: true, persistence: false, status: '' };
  const decoded = (event: PresenceEvent): StreamMessage => {
    const message = decodeStreamFrame(encodePresences(stream, event));
    if (message === undefined) throw new Error('not decoded');
    return message;
  };

  it('carry presences with all their parts', () => {
    const left = { ...presence, sessionId: 's3', persistence: false, status: '' };
    const event = { leaves: [left], joins: [presence] };
    expect(decoded(event)).toEqual({ kind: 'presences', key, ...event, hidden: nobody, ...ordinary });
    expect(allChanges(decoded(event))).toEqual(event);
  });

  it('keep hidden presences apart from what clients may see', () => {
    const event = { leaves: [secret], joins: [presence, secret] };
    const message = {
      kind: 'presences',
      key,
      leaves: [],
      joins: [presence],
      hidden: { leaves: [secret], joins: [secret] },
      ...ordinary,
    };
    expect(decoded(event)).toEqual(message);
    expect(allChanges(decoded(event))).toEqual(event);
  });

  it('are no event for clients when only hidden presences changed', () => {
    for (const event of [
      { leaves: [], joins: [secret] },
      { leaves: [secret], joins: [] },
    ]) {
      expect(decoded(event)).toEqual({ kind: 'hidden', key, hidden: event, ...ordinary });
      expect(allChanges(decoded(event))).toEqual(event);
    }
  });

  it('say that presences left because their node was given up', () => {
    for (const left of [presence, secret]) {
      const frame = encodePresences(stream, { leaves: [left], joins: [] }, { sweep: true });
      expect(decodeStreamFrame(frame)).toMatchObject({ sweep: true });
    }
  });

  it('say that a stream is closed', () => {
    expect(decodeStreamFrame(encodeClosed(stream))).toEqual({ kind: 'closed', key });
  });

  it('may say what only a newer node understands', () => {
    // Only the stream, and field 1000 that this node does not know.
    const unknown = Uint8Array.of(10, 1, 120, 0xc0, 0x3e, 1);
    expect(decodeStreamFrame(unknown)).toBeUndefined();
  });
});
