import { exportRows } from '../export-items.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { storageMethods } from './methods.ts';
import { objectsOfUser } from './queries.ts';
import { Storage } from './storage.ts';
import { toObject } from './wire.ts';

export { type ObjectRow, objectColumns } from './queries.ts';
export type { Caller, ChangeWatcher, ObjectAck, ObjectDelete, ObjectId, ObjectWrite, Storage } from './storage.ts';

export interface StorageFeature extends Feature {
  readonly storage: Storage;
}

/** Objects that players and server code store: collections, versions, permissions. */
export function createStorage(kit: FeatureKit): StorageFeature {
  const storage = new Storage(kit.db, (collection, reason) => kit.metrics.storageWriteRejected(collection, reason));
  const items = (userId: string): AsyncIterable<string> =>
    exportRows(kit.db, objectsOfUser, userId, 'nakama.api.StorageObject', toObject);
  return {
    name: 'storage',
    methods: storageMethods(storage, kit.db),
    userData: {
      erase: async (tx, userId) => storage.eraseOwner(tx, userId),
      lists: [{ key: 'objects', items }],
    },
    storage,
  };
}
