/**
 * A Set of objects that takes a table of its own only from the second one on: for what there is one of per socket, where
 * most have a single member. Whoever changes it during an iteration may not see what was added.
 */
export class SmallSet<T extends object> implements Iterable<T> {
  #only: T | undefined;
  #all: Set<T> | undefined;

  get size(): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1);
  }

  has(item: T): boolean {
    return this.#all?.has(item) ?? item === this.#only;
  }

  add(item: T): this {
    if (this.#all !== undefined) this.#all.add(item);
    else if (this.#only === undefined) this.#only = item;
    else if (item !== this.#only) {
      this.#all = new Set([this.#only, item]);
      this.#only = undefined;
    }
    return this;
  }

  delete(item: T): boolean {
    if (this.#all === undefined) {
      if (item !== this.#only) return false;
      this.#only = undefined;
      return true;
    }
    const wasThere = this.#all.delete(item);
    if (this.#all.size === 0) this.#all = undefined;
    return wasThere;
  }

  clear(): void {
    this.#only = undefined;
    this.#all = undefined;
  }

  [Symbol.iterator](): IterableIterator<T> {
    if (this.#all !== undefined) return this.#all.values();
    return (this.#only === undefined ? [] : [this.#only]).values();
  }
}

/** As SmallSet, by keys. */
export class SmallMap<V extends object> implements Iterable<[string, V]> {
  #key = '';
  #only: V | undefined;
  #all: Map<string, V> | undefined;

  get size(): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  get(key: string): V | undefined {
    if (this.#all !== undefined) return this.#all.get(key);
    return key === this.#key ? this.#only : undefined;
  }

  set(key: string, value: V): this {
    if (this.#all !== undefined) this.#all.set(key, value);
    else if (this.#only === undefined || key === this.#key) {
      this.#key = key;
      this.#only = value;
    } else {
      this.#all = new Map([
        [this.#key, this.#only],
        [key, value],
      ]);
      this.#only = undefined;
    }
    return this;
  }

  delete(key: string): boolean {
    if (this.#all === undefined) {
      if (this.#only === undefined || key !== this.#key) return false;
      this.#only = undefined;
      return true;
    }
    const wasThere = this.#all.delete(key);
    if (this.#all.size === 0) this.#all = undefined;
    return wasThere;
  }

  clear(): void {
    this.#only = undefined;
    this.#all = undefined;
  }

  keys(): IterableIterator<string> {
    if (this.#all !== undefined) return this.#all.keys();
    return (this.#only === undefined ? [] : [this.#key]).values();
  }

  values(): IterableIterator<V> {
    if (this.#all !== undefined) return this.#all.values();
    return (this.#only === undefined ? [] : [this.#only]).values();
  }

  [Symbol.iterator](): IterableIterator<[string, V]> {
    if (this.#all !== undefined) return this.#all.entries();
    const entries: [string, V][] = this.#only === undefined ? [] : [[this.#key, this.#only]];
    return entries.values();
  }
}
