import type { Option } from './config-option.ts';

/** Stored objects (spec: storage-wallet-purchases.md, section 2.1). */
export const storageOptions = [
  {
    key: 'storage.disable_index_only',
    type: 'bool',
    default: false,
    description:
      'Listings of every storage index read the objects from the database, also where game code says index only.',
  },
] as const satisfies readonly Option[];
