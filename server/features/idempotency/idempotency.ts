import { createHash } from 'node:crypto';
import { AppError, alreadyExists, Code, invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import { claimKey, outcomeOfKey, purgeKeys, storeOutcome } from './queries.ts';

/** In UTF-16 units. */
const maxKeyLength = 256;
/** All of these would be the same in UTF-8. */
const halfCharacter = /\p{Surrogate}/u;
/** How often a call looks for an outcome that is forgotten just then. */
const maxLooks = 5;
/** Rows that one statement forgets, and statements of one purge. */
const purgeBatch = 500;
const maxPurgeBatches = 200;

/** What is to happen at most once, and how its outcome is remembered. */
export interface Operation<T> {
  /** The caller's own, 1-256 characters, unique over all operations of the server. Undefined: nothing is remembered. */
  readonly key: string | undefined;
  /** The whole request as text: the same when it is repeated, another for anything else. */
  readonly request: () => string;
  /** The outcome as text. Users are best named by their place in the request: the text outlives their accounts. */
  readonly write: (outcome: T) => string;
  readonly read: (text: string) => T;
}

/**
 * Makes repeats harmless: the outcome of an operation is stored under the caller's key in the operation's own
 * transaction. So it is there exactly when the effect is, whatever dies in between, and whoever asks again with the
 * key, on any node, gets the first answer.
 *
 * What fails leaves nothing and may be tried again with the same key. So a refusal is final only for a caller of whom
 * no earlier attempt is still under way.
 */
export class Idempotency {
  readonly #db: Database;
  readonly #retentionSec: number;

  constructor(db: Database, retentionSec: number) {
    this.#db = db;
    this.#retentionSec = retentionSec;
  }

  /**
   * Runs `work` in a transaction (see `Database.transaction`), or answers what it answered before. The key comes ahead
   * of all other locks, so whoever waits for it holds nothing that another could want. A repeat does not run what the
   * work has put off until after the commit. Throws ALREADY_EXISTS when the key was used for another request.
   */
  async run<T>(operation: Operation<T>, work: (tx: Transaction) => Promise<T>): Promise<T> {
    if (operation.key === undefined) return this.#db.transaction(work);
    if (operation.key === '' || operation.key.length > maxKeyLength || halfCharacter.test(operation.key)) {
      throw invalidArgument(`Idempotency key must be 1-${maxKeyLength} characters.`);
    }
    const key = sha256(operation.key);
    const request = sha256(operation.request());
    return this.#db.transaction(async (tx) => {
      const before = await claim(tx, key, request);
      if (before !== undefined) return operation.read(before);
      const outcome = await work(tx);
      await tx.execute(storeOutcome, [key, operation.write(outcome)]);
      return outcome;
    });
  }

  /** Forgets outcomes that are old enough, in small steps; returns how many. */
  async purge(): Promise<number> {
    let purged = 0;
    for (let batch = 0; batch < maxPurgeBatches; batch++) {
      const count = await this.#db.execute(purgeKeys, [this.#retentionSec, purgeBatch]);
      purged += count;
      if (count < purgeBatch) break;
    }
    return purged;
  }
}

/** Makes the key this transaction's own; or answers the outcome of the one that had it before. */
async function claim(tx: Transaction, key: Buffer, request: Buffer): Promise<string | undefined> {
  for (let look = 0; look < maxLooks; look++) {
    const claimed = await tx.query(claimKey, [key, request]);
    if (claimed.length > 0) return undefined;
    const [row] = await tx.query(outcomeOfKey, [key]);
    if (row === undefined) continue;
    if (!row.request.equals(request)) throw alreadyExists('Idempotency key was used for another request.');
    return row.result;
  }
  throw new AppError(Code.ABORTED, 'Transaction conflict.', { retry: 'safe' });
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
