import type { Accounts } from '../accounts/index.ts';
import type { Feature } from '../feature.ts';
import type { Idempotency } from '../idempotency/index.ts';
import type { Storage } from '../storage/index.ts';
import type { Wallets } from '../wallet/index.ts';
import { MultiUpdate } from './multi-update.ts';

export type { MultiUpdate, MultiUpdateRequest, MultiUpdateResult } from './multi-update.ts';

export interface MultiUpdateFeature extends Feature {
  /** nk: multiUpdate. */
  readonly multiUpdate: MultiUpdate;
}

/** Several features' changes in one transaction, for game code. */
export function createMultiUpdate(parts: {
  idempotency: Idempotency;
  accounts: Accounts;
  storage: Storage;
  wallets: Wallets;
}): MultiUpdateFeature {
  return { name: 'multi-update', methods: [], multiUpdate: new MultiUpdate(parts) };
}
