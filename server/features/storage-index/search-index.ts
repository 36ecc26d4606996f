import type { Query } from '../../platform/query/query.ts';
import type { ObjectId, ObjectRow } from '../storage/index.ts';
import type { IndexDefinition } from './definition.ts';
import type { IndexEntry } from './entry.ts';
import { type Compare, FirstOf } from './ordering.ts';

/** How far above its maximum an index may grow before the oldest entries go. */
const slack = 1.1;

type RowId = Pick<ObjectRow, 'key' | 'user_id'>;

/** The entries of one index, in memory. */
export class SearchIndex {
  readonly definition: IndexDefinition;
  readonly #entries = new Map<string, IndexEntry>();

  constructor(definition: IndexDefinition) {
    this.definition = definition;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether objects of this name belong here. */
  covers({ collection, key }: Pick<ObjectId, 'collection' | 'key'>): boolean {
    return this.definition.collection === collection && (this.definition.key === '' || this.definition.key === key);
  }

  get(id: RowId): IndexEntry | undefined {
    return this.#entries.get(textOf(id));
  }

  set(entry: IndexEntry): void {
    this.#entries.set(textOf(entry.row), entry);
  }

  remove(id: RowId): void {
    this.#entries.delete(textOf(id));
  }

  entries(): IterableIterator<IndexEntry> {
    return this.#entries.values();
  }

  /** Removes what was not written for the longest time, once there is too much. */
  evict(): void {
    const { maxEntries } = this.definition;
    if (this.size <= Math.floor(maxEntries * slack)) return;
    const times = Float64Array.from(this.entries(), ({ updateTime }) => updateTime.micros).sort();
    let excess = this.size - maxEntries;
    const youngest = times[excess - 1] as number;
    for (const [id, { updateTime }] of this.#entries) {
      if (updateTime.micros < youngest) excess -= Number(this.#entries.delete(id));
    }
    for (const [id, { updateTime }] of this.#entries) {
      if (excess === 0) break;
      if (updateTime.micros === youngest) excess -= Number(this.#entries.delete(id));
    }
  }

  /** The first `count` entries that match, in order. */
  search(query: Query, compare: Compare, count: number): IndexEntry[] {
    const first = new FirstOf(count, compare);
    for (const entry of this.#entries.values()) if (query.matches(entry)) first.add(entry);
    return first.sorted();
  }
}

// Owner ids have one length: no two objects share a text.
const textOf = ({ key, user_id }: RowId): string => user_id + key;
