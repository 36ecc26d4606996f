import { alreadyExists, invalidArgument } from '../../platform/errors.ts';

/** What is indexed, and how it is listed (spec: storage-wallet-purchases.md, section 2.1). */
export interface IndexDefinition {
  readonly name: string;
  readonly collection: string;
  /** Only objects with this key; '' for all of the collection. */
  readonly key: string;
  /** Top-level members of the value; whatever is below them is indexed, too. */
  readonly fields: readonly string[];
  /** As in Nakama; here listings can be ordered by every indexed field. */
  readonly sortableFields: readonly string[];
  /** More than a tenth above it, and the entries that were not written for the longest time go. */
  readonly maxEntries: number;
  /** Listings answer the indexed members alone, from memory. */
  readonly indexOnly: boolean;
}

/** A write as filters see it. */
export interface FilteredWrite {
  readonly collection: string;
  readonly key: string;
  readonly userId: string;
  readonly version: string;
  readonly permissionRead: number;
  readonly permissionWrite: number;
  /** Text of a JSON object. */
  readonly value: string;
}

/**
 * Whether a write is to be in the index. Asked on every node. When it throws, what the index holds stays as it is.
 */
export type IndexFilter = (write: FilteredWrite) => boolean | Promise<boolean>;

/** Throws what registering this index beside those that exist would; the texts are Nakama's. */
export function checkDefinition(definition: IndexDefinition, existing: { has(name: string): boolean }): void {
  const { name, collection, maxEntries, fields } = definition;
  if (name === '') throw invalidArgument("storage index 'name' must be set");
  if (collection === '') throw invalidArgument("storage index 'collection' must be set");
  if (!(maxEntries >= 1)) throw invalidArgument("storage Index 'max_entries' must be > 0");
  if (fields.length === 0) {
    throw invalidArgument("storage Index 'fields' must contain at least one top level key to index");
  }
  if (existing.has(name)) throw alreadyExists(`cannot create index: index with name "${name}" already exists`);
}
