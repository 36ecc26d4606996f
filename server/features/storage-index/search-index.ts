import type { Query } from '../../platform/query/query.ts';
import type { ObjectId, ObjectRow } from '../storage/index.ts';
import type { IndexDefinition } from './definition.ts';
import type { IndexEntry } from './entry.ts';
import { type Compare, FirstOf } from './ordering.ts';
import { isPosted, Postings } from './postings.ts';

/** How far above its maximum an index may grow before the oldest entries go. */
const slack = 1.1;

type RowId = Pick<ObjectRow, 'key' | 'user_id'>;

/** The entries of one index, in memory. */
export class SearchIndex {
  readonly definition: IndexDefinition;
  readonly #entries = new Map<string, IndexEntry>();
  readonly #postings = new Postings();

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
    this.remove(entry.row);
    this.#entries.set(textOf(entry.row), entry);
    this.#postings.add(entry);
  }

  remove(id: RowId): void {
    const entry = this.get(id);
    if (entry === undefined) return;
    this.#entries.delete(textOf(id));
    this.#postings.remove(entry);
  }

  /** All of one owner's. */
  ofOwner(ownerId: string): Iterable<IndexEntry> {
    return this.#postings.get('user_id', ownerId);
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
    for (const { row, updateTime } of this.entries()) {
      if (updateTime.micros >= youngest) continue;
      this.remove(row);
      excess--;
    }
    for (const { row, updateTime } of this.entries()) {
      if (excess === 0) break;
      if (updateTime.micros !== youngest) continue;
      this.remove(row);
      excess--;
    }
  }

  /** The first `count` entries that match, in order. */
  search(query: Query, compare: Compare, count: number): IndexEntry[] {
    const first = new FirstOf(count, compare);
    for (const entry of this.#candidates(query)) if (query.matches(entry)) first.add(entry);
    return first.sorted();
  }

  /** All entries, or as few as one keyword that the query requires leaves. */
  #candidates(query: Query): Iterable<IndexEntry> {
    let fewest: ReadonlySet<IndexEntry> | undefined;
    for (const { field, keyword } of query.required) {
      if (keyword === undefined || !isPosted(field)) continue;
      const holders = this.#postings.get(field, keyword);
      if (fewest === undefined || holders.size < fewest.size) fewest = holders;
    }
    return fewest ?? this.entries();
  }
}

// Owner ids have one length: no two objects share a text.
const textOf = ({ key, user_id }: RowId): string => user_id + key;
