import type { Feature, FeatureKit } from '../feature.ts';
import { storageMethods } from './methods.ts';
import { Storage } from './storage.ts';

export type { Caller, ObjectAck, ObjectDelete, ObjectId, ObjectWrite, Storage } from './storage.ts';

export interface StorageFeature extends Feature {
  readonly storage: Storage;
}

/** Objects that players and server code store: collections, versions, permissions. */
export function createStorage(kit: FeatureKit): StorageFeature {
  const storage = new Storage(kit.db, (collection, reason) => kit.metrics.storageWriteRejected(collection, reason));
  return { name: 'storage', methods: storageMethods(storage, kit.db), storage };
}
