import { AppError, alreadyExists, Code, invalidArgument, unavailable } from '../platform/errors.ts';
import { MemoryWire } from './bus-memory.ts';
import type { MemoryHub } from './memory-hub.ts';
import type { NodeDirectory, NodeId } from './nodes.ts';
import type { NewPresence, Presence, PresenceTracker, TrackResult } from './presence.ts';
import { maxEventPresences, maxPresenceBytes, maxSessionPresences, presenceKey } from './presence.ts';
import { type Entry, PresenceTable } from './presence-table.ts';
import { type Stream, streamKey, streamTopic } from './stream.ts';
import { encodeClosed, encodePresences, presenceBytes } from './stream-frame.ts';

/** Presences of nodes that live in one process. */
export class MemoryPresence implements PresenceTracker {
  readonly #table: PresenceTable;
  readonly #wire: MemoryWire;
  readonly #nodes: NodeDirectory;
  /** The open sessions of this node, with the epoch each was opened in. */
  readonly #sessions = new Map<string, number>();

  constructor(hub: MemoryHub, nodes: NodeDirectory) {
    this.#table = hub.part(PresenceTable);
    this.#wire = hub.part(MemoryWire);
    this.#nodes = nodes;
  }

  openSession(sessionId: string): void {
    if (this.#sessions.has(sessionId)) throw alreadyExists('session is open already');
    this.#sessions.set(sessionId, this.#nodes.self.epoch);
  }

  async track(presence: NewPresence): Promise<TrackResult> {
    const entry = this.#check([presence])[0] as Entry;
    const isNew = this.#table.add(entry);
    const members = this.#table.list(entry.key);
    if (isNew) await this.#announce(entry.presence.stream, [], [entry.presence]);
    return { isNew, members };
  }

  async trackMany(presences: readonly NewPresence[]): Promise<boolean[]> {
    const entries = this.#check(presences);
    const added = entries.map((entry) => this.#table.add(entry));
    await this.#announceAll(
      entries.filter((_, index) => added[index]),
      'joins',
    );
    return added;
  }

  async update(presence: NewPresence): Promise<void> {
    const entry = this.#check([presence])[0] as Entry;
    const old = this.#table.replace(entry);
    await this.#announce(entry.presence.stream, old === undefined ? [] : [old.presence], [entry.presence]);
  }

  async untrack(sessionId: string, stream: Stream, userId: string): Promise<boolean> {
    const entry = this.#table.get(streamKey(stream), presenceKey({ sessionId, userId }));
    if (entry === undefined) return false;
    await this.#remove([entry]);
    return true;
  }

  async untrackSession(sessionId: string): Promise<void> {
    if (!this.#sessions.delete(sessionId)) return;
    await this.#remove(this.#table.ofSession(sessionId));
  }

  async untrackUser(userId: string, stream: Stream): Promise<number> {
    const entries = this.#table.ofStream(streamKey(stream)).filter((entry) => entry.presence.userId === userId);
    return await this.#remove(entries);
  }

  async closeStream(stream: Stream): Promise<number> {
    const entries = this.#table.ofStream(streamKey(stream));
    for (const entry of entries) this.#table.remove(entry);
    await this.#wire.publish(streamTopic(stream), encodeClosed(stream));
    return entries.length;
  }

  async list(stream: Stream): Promise<Presence[]> {
    return this.#table.list(streamKey(stream));
  }

  holds(sessionId: string, stream: Stream, userId: string): boolean {
    return this.#table.get(streamKey(stream), presenceKey({ sessionId, userId })) !== undefined;
  }

  async counts(streams: readonly Stream[]): Promise<number[]> {
    return streams.map((stream) => this.#table.count(streamKey(stream)));
  }

  glance(streams: readonly Stream[]): Promise<number[]> {
    return this.counts(streams);
  }

  async sweep(node: NodeId): Promise<number> {
    for (const [sessionId, epoch] of this.#sessions) {
      if (node.name === this.#nodes.self.name && epoch <= node.epoch) this.#sessions.delete(sessionId);
    }
    this.#table.end(node);
    const entries = this.#table.ofNode(node.name).filter((entry) => entry.epoch <= node.epoch);
    return await this.#remove(entries, { sweep: true });
  }

  localCount(): number {
    return this.#table.countOfNode(this.#nodes.self.name);
  }

  /** What is to be tracked, if all of it may be. */
  #check(presences: readonly NewPresence[]): Entry[] {
    const node = this.#nodes.self.name;
    const added = new Map<string, number>();
    return presences.map((presence) => {
      const { sessionId, userId, username, stream, hidden, persistence, status } = presence;
      const epoch = this.#sessions.get(sessionId);
      if (epoch === undefined) throw new AppError(Code.FAILED_PRECONDITION, 'session is not open');
      if (this.#table.hasEnded({ name: node, epoch })) throw unavailable('this node was given up by the others');
      const full: Presence = { node, sessionId, userId, username, stream, hidden, persistence, status };
      const entry = { key: streamKey(full.stream), id: presenceKey(full), presence: full, epoch };
      if (presenceBytes(full) > maxPresenceBytes) throw invalidArgument('presence is too large');
      if (this.#table.get(entry.key, entry.id) === undefined) {
        const count = (added.get(sessionId) ?? this.#table.countOfSession(sessionId)) + 1;
        if (count > maxSessionPresences) throw tooManyStreams();
        added.set(sessionId, count);
      }
      return entry;
    });
  }

  async #remove(entries: Entry[], occasion: { sweep?: boolean } = {}): Promise<number> {
    for (const entry of entries) this.#table.remove(entry);
    await this.#announceAll(entries, 'leaves', occasion);
    return entries.length;
  }

  async #announceAll(entries: Entry[], kind: 'joins' | 'leaves', occasion: { sweep?: boolean } = {}): Promise<void> {
    const byStream = new Map<string, Presence[]>();
    for (const { key, presence } of entries) {
      const presences = byStream.get(key);
      if (presences === undefined) byStream.set(key, [presence]);
      else presences.push(presence);
    }
    await Promise.all(
      [...byStream.values()].map((presences) => {
        const stream = (presences[0] as Presence).stream;
        const [leaves, joins] = kind === 'leaves' ? [presences, []] : [[], presences];
        return this.#announce(stream, leaves, joins, occasion);
      }),
    );
  }

  /** Must be called in the same turn as the change, so that events keep the order of the changes. */
  async #announce(
    stream: Stream,
    leaves: readonly Presence[],
    joins: readonly Presence[],
    occasion: { sweep?: boolean } = {},
  ): Promise<void> {
    const topic = streamTopic(stream);
    const sent: Promise<void>[] = [];
    if (leaves.length + joins.length <= maxEventPresences) {
      sent.push(this.#wire.publish(topic, encodePresences(stream, { leaves, joins }, occasion)));
    } else {
      for (const part of chunks(leaves)) {
        sent.push(this.#wire.publish(topic, encodePresences(stream, { leaves: part, joins: [] }, occasion)));
      }
      for (const part of chunks(joins)) {
        sent.push(this.#wire.publish(topic, encodePresences(stream, { leaves: [], joins: part })));
      }
    }
    await Promise.all(sent);
  }
}

function* chunks(presences: readonly Presence[]): Generator<Presence[]> {
  for (let start = 0; start < presences.length; start += maxEventPresences) {
    yield presences.slice(start, start + maxEventPresences);
  }
}

const tooManyStreams = (): AppError =>
  new AppError(Code.RESOURCE_EXHAUSTED, `a session may be on ${maxSessionPresences} streams`, { retry: 'no' });
