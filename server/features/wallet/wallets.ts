import { invalidArgument, notFound } from '../../platform/errors.ts';
import { newId, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { Idempotency } from '../idempotency/index.ts';
import { amountsText, type Balances, isAmount, parseBalances } from './amounts.ts';
import { checkMetadata, refuseBadText } from './metadata.ts';
import { changesText, parseResults, resultsText } from './outcome.ts';
import { type PostedChanges, postChanges, type WalletChange, type WalletResult } from './posting.ts';
import {
  lockWallet,
  lockWallets,
  readWallet,
  recordChanges,
  swapWallet,
  swapWalletAndRecord,
  writeWallet,
  writeWallets,
} from './queries.ts';

export interface WalletOptions {
  /** Write a ledger row for each change; without, a change leaves no trace. Default false. */
  readonly updateLedger?: boolean | undefined;
  /** Makes a repeat harmless: it gets the first answer (see `Idempotency`). */
  readonly key?: string | undefined;
}

/** Wallets under lock, by user; of unknown users there are none. */
export type LockedWallets = ReadonlyMap<string, Balances>;

/** Up to so many users are locked and written one by one (in one go), more as a list: see queries.ts. */
const fewUsers = 4;

/**
 * Wallets, as game code and the console change them (spec: storage-wallet-purchases.md, section 3). Every operation
 * applies all of its changes or none. A result shows the amounts that are 64-bit whole numbers; whatever else other
 * software has put into a wallet stays there.
 */
export class Wallets {
  readonly #db: Database;
  readonly #idempotency: Idempotency;

  constructor(db: Database, idempotency: Idempotency) {
    this.#db = db;
    this.#idempotency = idempotency;
  }

  /**
   * Changes one wallet. Throws NOT_FOUND `user not found`, FAILED_PRECONDITION when an account would be overdrawn
   * (PostingRejected), INVALID_ARGUMENT for a bad id, changeset or metadata.
   */
  async update(change: WalletChange, options: WalletOptions = {}): Promise<WalletResult> {
    const checked = checkChanges([change]);
    if (options.key === undefined) {
      const result = await this.#updateUncontended(checked, options.updateLedger === true);
      if (result !== undefined) return result;
    }
    const [result] = await this.#run('walletUpdate', checked, options, (results) => {
      if (results.length === 0) throw notFound('user not found');
    });
    return result as WalletResult;
  }

  /**
   * Changes several wallets, or one several times, in the order given. Results come in that order, too; changes of
   * unknown users are skipped and have none. Throws as `update` does, except for those.
   */
  async updateMany(changes: readonly WalletChange[], options: WalletOptions = {}): Promise<WalletResult[]> {
    return changes.length === 0 ? [] : this.#run('walletsUpdate', checkChanges(changes), options);
  }

  /** `updateMany` inside a transaction that has locked nothing yet but an idempotency key. */
  async updateIn(
    tx: Transaction,
    changes: readonly WalletChange[],
    { updateLedger = false }: { readonly updateLedger?: boolean | undefined } = {},
  ): Promise<WalletResult[]> {
    return this.#lockAndApply(tx, checkChanges(changes), updateLedger);
  }

  /**
   * Locks users with their wallets until the transaction ends. This is the first lock of every transaction that
   * changes users, and it takes all of them at once, in the order of their ids; objects, in the order of collection,
   * key and owner, come after (`Storage`), and only an idempotency key comes before. Transactions that keep to it never
   * wait for each other in a circle.
   * @param userIds canonical, in any order, repeated or not
   */
  async lockIn(tx: Transaction, userIds: Iterable<string>): Promise<LockedWallets> {
    const ids = [...new Set(userIds)].sort();
    const rows =
      ids.length <= fewUsers
        ? (await Promise.all(ids.map((id) => tx.query(lockWallet, [id])))).flat()
        : await tx.query(lockWallets, [ids]);
    return new Map(rows.map(({ id, wallet }) => [id, parseBalances(wallet)]));
  }

  /** Changes wallets that `lockIn` of the same transaction has locked. @param changes as `checkChanges` gives them */
  async applyIn(
    tx: Transaction,
    locked: LockedWallets,
    changes: readonly WalletChange[],
    updateLedger: boolean,
  ): Promise<WalletResult[]> {
    const { applied, accounts, results } = postChanges(locked, changes);
    const writes = toWrites(accounts);
    const statements =
      writes.length <= fewUsers
        ? writes.map((write) => tx.execute(writeWallet, write))
        : [tx.execute(writeWallets, columns(writes))];
    if (updateLedger && applied.length > 0) {
      statements.push(tx.execute(recordChanges, columns(applied.map((change) => toLedgerRow(change)))));
    }
    await Promise.all(statements).catch(refuseBadText);
    return results;
  }

  async #lockAndApply(
    tx: Transaction,
    changes: readonly WalletChange[],
    updateLedger: boolean,
  ): Promise<WalletResult[]> {
    const userIds = changes.map(({ userId }) => userId);
    return this.applyIn(tx, await this.lockIn(tx, userIds), changes, updateLedger);
  }

  /**
   * The common case, at a third of the cost of a transaction: reads, and writes if the wallet is still what it was.
   * Undefined, with nothing done, when somebody else is at this wallet at the same time.
   */
  async #updateUncontended(changes: readonly WalletChange[], updateLedger: boolean): Promise<WalletResult | undefined> {
    const [change] = changes as [WalletChange];
    const [row] = await this.#db.query(readWallet, [change.userId]);
    if (row === undefined) throw notFound('user not found');
    const { accounts, results } = postChanges(new Map([[row.id, parseBalances(row.wallet)]]), changes);
    const params = [...toWrites(accounts).flat(), row.wallet];
    const [, ...record] = toLedgerRow(change);
    const written = await (updateLedger
      ? this.#db.execute(swapWalletAndRecord, [...params, ...record])
      : this.#db.execute(swapWallet, params)
    ).catch(refuseBadText);
    return written > 0 ? results[0] : undefined;
  }

  async #run(
    name: string,
    changes: readonly WalletChange[],
    { key, updateLedger = false }: WalletOptions,
    check: (results: readonly WalletResult[]) => void = () => {},
  ): Promise<WalletResult[]> {
    return this.#idempotency.run(
      {
        key,
        request: () => JSON.stringify([name, changesText(changes), updateLedger]),
        write: (results) => resultsText(changes, results),
        read: (text) => parseResults(changes, text),
      },
      async (tx) => {
        const results = await this.#lockAndApply(tx, changes, updateLedger);
        check(results);
        return results;
      },
    );
  }
}

/** Most changes of wallets in one call. */
const maxChanges = 10_000;

/** The changes with canonical ids. Throws INVALID_ARGUMENT for what is no change, and for too many of them. */
export function checkChanges(changes: readonly WalletChange[]): WalletChange[] {
  if (changes.length > maxChanges) throw invalidArgument(`Too many wallet updates, at most ${maxChanges} at once.`);
  return changes.map((change) => {
    const userId = parseUuid(change.userId);
    if (userId === null) throw invalidArgument('expects a valid user id');
    // Game code is not always typed.
    if (!Object.values(change.changeset).every((amount) => typeof amount === 'bigint' && isAmount(amount))) {
      throw invalidArgument('expects changeset values to be whole numbers');
    }
    if (change.metadata !== undefined) checkMetadata(change.metadata);
    return { ...change, userId };
  });
}

/** User and changed accounts, of each wallet. */
const toWrites = (accounts: PostedChanges['accounts']): [userId: string, accounts: string][] =>
  [...accounts].map(([userId, changed]) => [userId, amountsText(changed)]);

const toLedgerRow = ({ userId, changeset, metadata }: WalletChange): string[] => [
  userId,
  newId(),
  amountsText(Object.entries(changeset)),
  metadata ?? '{}',
];

const columns = (rows: readonly (readonly string[])[]): string[][] =>
  (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? ''));
