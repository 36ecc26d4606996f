import { isList } from '../../platform/query/query.ts';
import type { IndexEntry } from './entry.ts';

/** Most keywords are those of one entry only, which then needs no set. */
type Holders = IndexEntry | Set<IndexEntry>;

/** Which entries have a keyword: what a search for it has to look at. */
export class Postings {
  readonly #fields = new Map<string, Map<string, Holders>>();

  add(entry: IndexEntry): void {
    for (const [field, keyword] of keywordsOf(entry)) {
      let keywords = this.#fields.get(field);
      if (keywords === undefined) {
        keywords = new Map();
        this.#fields.set(field, keywords);
      }
      const holders = keywords.get(keyword);
      if (holders === undefined) keywords.set(keyword, entry);
      else if (holders instanceof Set) holders.add(entry);
      else keywords.set(keyword, new Set([holders, entry]));
    }
  }

  remove(entry: IndexEntry): void {
    for (const [field, keyword] of keywordsOf(entry)) {
      const keywords = this.#fields.get(field);
      const holders = keywords?.get(keyword);
      if (holders instanceof Set) holders.delete(entry);
      if (holders === entry || (holders instanceof Set && holders.size === 0)) keywords?.delete(keyword);
      if (keywords?.size === 0) this.#fields.delete(field);
    }
  }

  get(field: string, keyword: string): ReadonlySet<IndexEntry> {
    const holders = this.#fields.get(field)?.get(keyword);
    if (holders instanceof Set) return holders;
    return new Set(holders === undefined ? [] : [holders]);
  }
}

/** Besides the members of the value, the owner: the rest has few different values, or nobody looks for them. */
function* keywordsOf(entry: IndexEntry): Generator<readonly [string, string]> {
  yield ['user_id', entry.row.user_id];
  for (const [field, values] of entry.members()) {
    for (const value of isList(values) ? values : [values]) if (typeof value === 'string') yield [field, value];
  }
}

/** Whether every entry with this keyword is among what `get` answers. */
export const isPosted = (field: string): boolean => field === 'user_id' || field.startsWith('value.');
