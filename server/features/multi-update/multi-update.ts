import { invalidArgument } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { Accounts, AccountUpdate } from '../accounts/index.ts';
import type { Idempotency } from '../idempotency/index.ts';
import type { ObjectAck, ObjectDelete, ObjectWrite, Storage } from '../storage/index.ts';
import {
  changesText,
  checkChanges,
  parseResults,
  resultsText,
  type WalletChange,
  type WalletResult,
  type Wallets,
} from '../wallet/index.ts';

/** What is to happen together or not at all, with the rights of server code. */
export interface MultiUpdateRequest {
  readonly accountUpdates?: readonly AccountUpdate[] | undefined;
  readonly storageWrites?: readonly ObjectWrite[] | undefined;
  readonly storageDeletes?: readonly ObjectDelete[] | undefined;
  readonly walletUpdates?: readonly WalletChange[] | undefined;
  /** Write a ledger row for each wallet update. Default false. */
  readonly updateLedger?: boolean | undefined;
  /** Makes a repeat harmless: it gets the first answer (see `Idempotency`). */
  readonly key?: string | undefined;
}

export interface MultiUpdateResult {
  /** In the order of `storageWrites`. */
  readonly storageWriteAcks: ObjectAck[];
  /** In the order of `walletUpdates`, without those of unknown users. */
  readonly walletUpdateAcks: WalletResult[];
}

interface Dependencies {
  readonly idempotency: Idempotency;
  readonly accounts: Accounts;
  readonly storage: Storage;
  readonly wallets: Wallets;
}

/** A request with canonical ids and no gaps. */
interface Parts {
  readonly accountUpdates: readonly AccountUpdate[];
  readonly storageWrites: readonly ObjectWrite[];
  readonly storageDeletes: readonly ObjectDelete[];
  readonly walletUpdates: readonly WalletChange[];
  readonly updateLedger: boolean;
}

/** Changes of accounts, objects and wallets in one transaction (spec: storage-wallet-purchases.md, section 4). */
export class MultiUpdate {
  readonly #of: Dependencies;

  constructor(dependencies: Dependencies) {
    this.#of = dependencies;
  }

  /**
   * Applies accounts, then object writes, object deletes and wallets; nothing stays when any of it fails. Failures are
   * those of `Accounts.updateIn`, `Storage.write`, `Storage.delete` and `Wallets.updateMany`.
   */
  async run(request: MultiUpdateRequest): Promise<MultiUpdateResult> {
    const parts = check(request);
    const { accountUpdates, storageWrites, storageDeletes, walletUpdates } = parts;
    if ([accountUpdates, storageWrites, storageDeletes, walletUpdates].every((list) => list.length === 0)) {
      return { storageWriteAcks: [], walletUpdateAcks: [] };
    }
    return this.#of.idempotency.run(
      {
        key: request.key,
        request: () => requestText(parts),
        write: (result) => resultText(parts, result),
        read: (text) => parseResult(parts, text),
      },
      (tx) => this.#apply(tx, parts),
    );
  }

  async #apply(tx: Transaction, parts: Parts): Promise<MultiUpdateResult> {
    const { accounts, storage, wallets } = this.#of;
    const { accountUpdates, storageWrites, storageDeletes, walletUpdates, updateLedger } = parts;
    const locked = await wallets.lockIn(tx, usersOf(parts));
    if (accountUpdates.length > 0) await accounts.updateIn(tx, accountUpdates);
    const storageWriteAcks = await storage.write('server', storageWrites, tx);
    await storage.delete('server', storageDeletes, tx);
    const walletUpdateAcks = await wallets.applyIn(tx, locked, walletUpdates, updateLedger);
    return { storageWriteAcks, walletUpdateAcks };
  }
}

function check(request: MultiUpdateRequest): Parts {
  return {
    accountUpdates: (request.accountUpdates ?? []).map((update) => {
      const userId = parseUuid(update.userId);
      if (userId === null) throw invalidArgument('expects a valid user id');
      return { ...update, userId };
    }),
    storageWrites: request.storageWrites ?? [],
    storageDeletes: request.storageDeletes ?? [],
    walletUpdates: checkChanges(request.walletUpdates ?? []),
    updateLedger: request.updateLedger ?? false,
  };
}

/**
 * All users whose rows this will touch (see `Wallets.lockIn`). A new object touches its owner's row by its foreign key,
 * which waits for whoever renames the owner; the system user is never renamed, and everybody would wait for it.
 */
function usersOf({ accountUpdates, storageWrites, walletUpdates }: Parts): string[] {
  const owners = storageWrites.map(({ ownerId }) => ownerId).filter((id) => id !== nilUuid);
  return [...accountUpdates, ...walletUpdates].map(({ userId }) => userId).concat(owners);
}

// For `Idempotency`: objects are named by their places, as users are.

function requestText({ accountUpdates, storageWrites, storageDeletes, walletUpdates, updateLedger }: Parts): string {
  return JSON.stringify([
    'multiUpdate',
    accountUpdates.map((each) => sorted({ ...each })),
    storageWrites.map((each) => sorted({ ...each })),
    storageDeletes.map((each) => sorted({ ...each })),
    changesText(walletUpdates),
    updateLedger,
  ]);
}

/** The members in one order, whatever order they were written in. */
const sorted = (record: Record<string, unknown>): [string, unknown][] =>
  Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));

function resultText({ walletUpdates }: Parts, { storageWriteAcks, walletUpdateAcks }: MultiUpdateResult): string {
  const acks = storageWriteAcks.map(({ version, create_time, update_time }) => ({ version, create_time, update_time }));
  return JSON.stringify([acks, resultsText(walletUpdates, walletUpdateAcks)]);
}

function parseResult({ storageWrites, walletUpdates }: Parts, text: string): MultiUpdateResult {
  const [acks, results] = JSON.parse(text) as [Omit<ObjectAck, 'collection' | 'key' | 'ownerId'>[], string];
  return {
    storageWriteAcks: storageWrites.flatMap(({ collection, key, ownerId }, place) => {
      const ack = acks[place];
      return ack === undefined ? [] : [{ collection, key, ownerId, ...ack }];
    }),
    walletUpdateAcks: parseResults(walletUpdates, results),
  };
}
