import type { Feature, FeatureKit } from '../feature.ts';
import type { Idempotency } from '../idempotency/index.ts';
import { exportLedger } from './export.ts';
import { Ledger } from './ledger.ts';
import { Wallets } from './wallets.ts';

export { type Amounts, parseAmounts } from './amounts.ts';
export { type Ledger, type LedgerItem, type LedgerPage, type LedgerRequest, maxLedgerPage } from './ledger.ts';
export { changesText, parseResults, resultsText } from './outcome.ts';
export { PostingRejected, type WalletChange, type WalletResult } from './posting.ts';
export { checkChanges, type LockedWallets, type WalletOptions, type Wallets } from './wallets.ts';

export interface WalletFeature extends Feature {
  /** nk: walletUpdate, walletsUpdate. */
  readonly wallets: Wallets;
  /** nk: walletLedgerList, walletLedgerUpdate; the console also deletes. */
  readonly ledger: Ledger;
}

/** Wallets and their ledger. They have no methods: only game code and the console change them. */
export function createWallet(kit: FeatureKit, { idempotency }: { idempotency: Idempotency }): WalletFeature {
  const items = (userId: string): AsyncIterable<string> => exportLedger(kit.db, userId);
  return {
    name: 'wallet',
    methods: [],
    userData: { lists: [{ key: 'wallet_ledgers', items }] },
    wallets: new Wallets(kit.db, idempotency),
    ledger: new Ledger(kit.db),
  };
}
