import { SmallMap, SmallSet } from '../platform/small.ts';
import type { NodeId } from './nodes.ts';
import type { Presence } from './presence.ts';

export interface Entry {
  /** The stream's key. */
  readonly key: string;
  /** The presence's key within the stream. */
  readonly id: string;
  readonly presence: Presence;
  /** Of the node, when the session was opened. */
  readonly epoch: number;
}

/** The part of the hub that holds all presences, by stream, by session and by node. */
export class PresenceTable {
  readonly #streams = new Map<string, SmallMap<Entry>>();
  readonly #sessions = new Map<string, SmallSet<Entry>>();
  readonly #nodes = new Map<string, SmallSet<Entry>>();
  /** The last ended epoch by node name: nothing of it may come back. */
  readonly #ended = new Map<string, number>();

  /** False, and no change, when the presence is there already. */
  add(entry: Entry): boolean {
    if (this.get(entry.key, entry.id) !== undefined) return false;
    this.#insert(entry);
    return true;
  }

  /** Returns the entry whose place it takes. */
  replace(entry: Entry): Entry | undefined {
    const old = this.get(entry.key, entry.id);
    if (old !== undefined) this.remove(old);
    this.#insert(entry);
    return old;
  }

  remove(entry: Entry): void {
    const stream = this.#streams.get(entry.key);
    stream?.delete(entry.id);
    if (stream?.size === 0) this.#streams.delete(entry.key);
    drop(this.#sessions, entry.presence.sessionId, entry);
    drop(this.#nodes, entry.presence.node, entry);
  }

  get(key: string, id: string): Entry | undefined {
    return this.#streams.get(key)?.get(id);
  }

  list(key: string): Presence[] {
    return this.ofStream(key).map((entry) => entry.presence);
  }

  ofStream(key: string): Entry[] {
    return [...(this.#streams.get(key)?.values() ?? [])];
  }

  ofSession(sessionId: string): Entry[] {
    return [...(this.#sessions.get(sessionId) ?? [])];
  }

  ofNode(node: string): Entry[] {
    return [...(this.#nodes.get(node) ?? [])];
  }

  count(key: string): number {
    return this.#streams.get(key)?.size ?? 0;
  }

  countOfSession(sessionId: string): number {
    return this.#sessions.get(sessionId)?.size ?? 0;
  }

  countOfNode(node: string): number {
    return this.#nodes.get(node)?.size ?? 0;
  }

  end(node: NodeId): void {
    this.#ended.set(node.name, Math.max(node.epoch, this.#ended.get(node.name) ?? -1));
  }

  hasEnded(node: NodeId): boolean {
    return node.epoch <= (this.#ended.get(node.name) ?? -1);
  }

  #insert(entry: Entry): void {
    const stream = this.#streams.get(entry.key);
    if (stream === undefined) this.#streams.set(entry.key, new SmallMap<Entry>().set(entry.id, entry));
    else stream.set(entry.id, entry);
    put(this.#sessions, entry.presence.sessionId, entry);
    put(this.#nodes, entry.presence.node, entry);
  }
}

function put(index: Map<string, SmallSet<Entry>>, key: string, entry: Entry): void {
  const entries = index.get(key);
  if (entries === undefined) index.set(key, new SmallSet<Entry>().add(entry));
  else entries.add(entry);
}

function drop(index: Map<string, SmallSet<Entry>>, key: string, entry: Entry): void {
  const entries = index.get(key);
  entries?.delete(entry);
  if (entries?.size === 0) index.delete(key);
}
