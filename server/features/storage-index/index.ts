import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Storage } from '../storage/index.ts';
import { Announcements } from './announcements.ts';
import { StorageIndexes } from './storage-indexes.ts';

export type { FilteredWrite, IndexDefinition, IndexFilter } from './definition.ts';
export type { IndexListing, IndexPage } from './listing.ts';
export type { StorageIndexes } from './storage-indexes.ts';

export interface StorageIndexFeature extends Feature {
  readonly storageIndexes: StorageIndexes;
}

/** Searches in stored objects, for server code; clients have no way to it. */
export function createStorageIndex(kit: FeatureKit, { storage }: { readonly storage: Storage }): StorageIndexFeature {
  const log = subsystem(kit.log, 'storage-index');
  const storageIndexes = new StorageIndexes({
    db: kit.db,
    storage,
    announcements: new Announcements(kit.bus, log),
    disableIndexOnly: kit.config.storage.disable_index_only,
    log,
  });
  return {
    name: 'storage-index',
    methods: [],
    start: async () => {
      await storageIndexes.start();
      // Whoever builds on the bus does not wait for this.
      kit.bus.onGap(() => storageIndexes.changedSomehow());
    },
    stop: () => storageIndexes.stop(),
    storageIndexes,
  };
}
