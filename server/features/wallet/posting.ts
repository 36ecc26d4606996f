import { AppError, Code } from '../../platform/errors.ts';
import { type Amounts, type Balances, isAmount, toAmounts } from './amounts.ts';

/*
 * The ledger's arithmetic. An account is one currency of one user; a posting adds a signed amount to it, under the lock
 * of its user's row and inside somebody's transaction, and leaves it between 0 and the largest 64-bit integer. Money is
 * moved by postings that cancel out; the ledger rows of a user add up to the wallet.
 *
 * Holds (money set aside for an order, an escrow) need nothing else from here: to place one is a posting of -amount
 * together with a row `pending` of user, currency, amount and expiry; to settle it is to turn that row to `posted` and
 * post +amount to whom it was for; to void it, or to let it expire, is to turn it to `void` and post +amount back. Each
 * in one transaction that locks the users first, as `Wallets.lockIn` does. Then wallets and pending rows add up to the
 * same at any moment, and a wallet always shows what can be spent.
 */

/** What is added to the accounts of one user; in the ledger it is one row. */
export interface WalletChange {
  readonly userId: string;
  /** Signed amounts by currency: a posting each. */
  readonly changeset: Amounts;
  /** Why, as the text of a JSON object; goes into the ledger. Default `{}`. */
  readonly metadata?: string | undefined;
}

export interface WalletResult {
  readonly userId: string;
  /** The whole wallet before this change. */
  readonly previous: Amounts;
  /** The whole wallet after all changes of the call. */
  readonly updated: Amounts;
}

export interface PostedChanges {
  /** Those of known users. */
  readonly applied: readonly WalletChange[];
  /** What is in the accounts that were posted to, by user; a user without such has an empty map. */
  readonly accounts: ReadonlyMap<string, ReadonlyMap<string, bigint>>;
  /** One for each applied change. */
  readonly results: WalletResult[];
}

/** A posting that its account does not bear: nothing of the whole call is applied. */
export class PostingRejected extends AppError {
  readonly userId: string;
  /** The currency. */
  readonly path: string;
  /** What was there; null when that was no 64-bit whole number. */
  readonly current: bigint | null;
  readonly amount: bigint;

  constructor(userId: string, path: string, current: bigint | null, amount: bigint) {
    const what = current === null ? 'change of what is no whole number' : 'negative value';
    super(Code.FAILED_PRECONDITION, `wallet update rejected ${what} at path '${path}'`);
    this.userId = userId;
    this.path = path;
    this.current = current;
    this.amount = amount;
  }
}

/**
 * Applies changes to wallets, in the order given; those of users without a wallet are skipped. Throws PostingRejected,
 * and the wallets are of no more use then.
 */
export function postChanges(wallets: ReadonlyMap<string, Balances>, changes: readonly WalletChange[]): PostedChanges {
  const applied: WalletChange[] = [];
  const accounts = new Map<string, Map<string, bigint>>();
  const before: Amounts[] = [];
  for (const change of changes) {
    const { userId, changeset } = change;
    const balances = wallets.get(userId);
    if (balances === undefined) continue;
    applied.push(change);
    before.push(toAmounts(balances));
    const posted = accounts.get(userId) ?? new Map<string, bigint>();
    accounts.set(userId, posted);
    for (const [key, amount] of Object.entries(changeset)) posted.set(key, post(balances, userId, key, amount));
  }
  const after = new Map([...accounts.keys()].map((userId) => [userId, toAmounts(wallets.get(userId) ?? new Map())]));
  const results = applied.map(({ userId }, place) => ({
    userId,
    previous: before[place] ?? {},
    updated: after.get(userId) ?? {},
  }));
  return { applied, accounts, results };
}

/** Adds to an account and returns what is in it then. An overflow is rejected like an overdraft (spec: section 3.2). */
function post(balances: Balances, userId: string, key: string, amount: bigint): bigint {
  const current = balances.get(key);
  if (current === null) throw new PostingRejected(userId, key, null, amount);
  const sum = (current ?? 0n) + amount;
  if (sum < 0n || !isAmount(sum)) throw new PostingRejected(userId, key, current ?? 0n, amount);
  balances.set(key, sum);
  return sum;
}
