import type { Config } from '../../platform/config.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { Listing, type ListRequest, type Page } from './listing.ts';
import { findPurchase, type PurchaseRow, purchaseLists } from './queries.ts';
import { keepPurchases } from './records.ts';
import { failedPrecondition, refusal } from './refusals.ts';
import { readFacebookPurchase } from './stores/facebook.ts';
import { readSamsungPurchase } from './stores/samsung.ts';
import { isId, type StorePurchase } from './stores/store.ts';
import type { Stores } from './stores.ts';
import { keptPurchase, type Purchase, storedPurchase, unkeptPurchase } from './validated.ts';

export interface ValidateOptions {
  /** Keep it, so that it is known when it is seen again. Default true. */
  readonly persist?: boolean | undefined;
}

export interface AppleOptions extends ValidateOptions {
  /** In place of `iap.apple.shared_password`. */
  readonly password?: string | undefined;
}

export interface GoogleOptions extends ValidateOptions {
  /** In place of `iap.google.client_email` and `iap.google.private_key`. */
  readonly clientEmail?: string | undefined;
  readonly privateKey?: string | undefined;
}

interface Dependencies {
  readonly db: Database;
  readonly stores: Stores;
  readonly settings: Config['iap'];
}

/**
 * One-time purchases (spec: storage-wallet-purchases.md, sections 5 and 6). Validating asks the store whether it is
 * true; what it is worth is up to game code, which looks at `seenBefore`. All throw INVALID_ARGUMENT for what is
 * missing, FAILED_PRECONDITION for what is not configured or not valid, UNAVAILABLE when a store does not answer in
 * time, UNKNOWN for other refusals, NOT_FOUND when it is to be kept for a user who does not exist.
 */
export class Purchases {
  readonly #deps: Dependencies;
  readonly #listing: Listing<PurchaseRow>;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#listing = new Listing(deps.db, purchaseLists, 'purchase', (row) => row.transaction_id);
  }

  /** @param receipt a transaction as StoreKit 2 signs it, or the base64 of a receipt of before. */
  async validateApple(userId: string, receipt: string, options: AppleOptions = {}): Promise<Purchase[]> {
    const owner = requireUser(userId);
    if (receipt === '') throw invalidArgument('Receipt cannot be empty.');
    const { stores, settings } = this.#deps;
    const found = await stores.apple.purchases(receipt, options.password || settings.apple.shared_password);
    return this.#answer(owner, found, options);
  }

  /** @param purchase the purchase's JSON, plain or as a text in the field `json`. */
  async validateGoogle(userId: string, purchase: string, options: GoogleOptions = {}): Promise<Purchase[]> {
    const owner = requireUser(userId);
    const account = googleAccount(this.#deps.settings, options);
    if (purchase === '') throw invalidArgument('Purchase cannot be empty.');
    return this.#answer(owner, [await this.#deps.stores.google.readReceipt(purchase, account)], options);
  }

  /**
   * @param purchase the InAppPurchaseData, exactly as signed.
   * @param signature base64.
   */
  async validateHuawei(
    userId: string,
    purchase: string,
    signature: string,
    options: ValidateOptions = {},
  ): Promise<Purchase[]> {
    const owner = requireUser(userId);
    const { stores, settings } = this.#deps;
    const { public_key: publicKey, client_id: clientId, client_secret: clientSecret } = settings.huawei;
    if ([publicKey, clientId, clientSecret].includes('')) throw failedPrecondition('Huawei IAP is not configured.');
    if (purchase === '') throw invalidArgument('Purchase cannot be empty.');
    if (signature === '') throw invalidArgument('Signature cannot be empty.');
    const found = await stores.huawei.read(purchase, signature, { publicKey, clientId, clientSecret });
    return this.#answer(owner, [found], options, '');
  }

  async validateFacebookInstant(
    userId: string,
    signedRequest: string,
    options: ValidateOptions = {},
  ): Promise<Purchase[]> {
    const owner = requireUser(userId);
    const secret = this.#deps.settings.facebook_instant.app_secret;
    if (secret === '') throw failedPrecondition('Facebook Instant IAP is not configured.');
    if (signedRequest === '') throw invalidArgument('SignedRequest cannot be empty.');
    return this.#answer(owner, [readFacebookPurchase(signedRequest, secret)], options);
  }

  async validateSamsung(userId: string, purchaseId: string, options: ValidateOptions = {}): Promise<Purchase[]> {
    const owner = requireUser(userId);
    if (purchaseId === '') throw invalidArgument('Purchase ID cannot be empty.');
    const { stores, settings } = this.#deps;
    const found = await readSamsungPurchase(stores.calls, purchaseId, settings.samsung.package_name);
    return this.#answer(owner, [found], options, '');
  }

  /** Null when there is none. */
  async get(transactionId: string): Promise<Purchase | null> {
    if (transactionId === '') throw invalidArgument('expects a transaction id string');
    if (!isId(transactionId)) return null;
    const [row] = await this.#deps.db.query(findPurchase, [transactionId]).catch(failedToRead);
    return row === undefined ? null : storedPurchase(row);
  }

  /** A page of what is kept, the latest purchases first. */
  async list(request: ListRequest): Promise<Page<Purchase>> {
    const page = await this.#listing.page(checkedList(request)).catch(failedToRead);
    if (page === null) throw invalidArgument('purchases list cursor invalid');
    return { ...page, items: page.items.map(storedPurchase) };
  }

  /** @param unkeptOwner whose it is said to be when it is not kept. */
  async #answer(
    userId: string,
    found: readonly StorePurchase[],
    { persist = true }: ValidateOptions,
    unkeptOwner = userId,
  ): Promise<Purchase[]> {
    if (!persist) return found.map((each) => unkeptPurchase(unkeptOwner, each));
    const [first, ...others] = found;
    if (first === undefined) throw refusal('expects at least one receipt');
    const rows = await keepPurchases(this.#deps.db, userId, [first, ...others]);
    return found.map((each) => keptPurchase(userId, each, rows.get(each.transactionId) as PurchaseRow));
  }
}

/** The service account that asks Google. Throws FAILED_PRECONDITION when there is none. */
export function googleAccount({ google }: Config['iap'], options: GoogleOptions = {}) {
  const account = {
    clientEmail: options.clientEmail || google.client_email,
    privateKey: options.privateKey || google.private_key,
  };
  if (account.clientEmail === '' || account.privateKey === '') {
    throw failedPrecondition('Google IAP is not configured.');
  }
  return account;
}

/** The canonical id. */
export function requireUser(text: string): string {
  const id = parseUuid(text);
  if (id === null) throw invalidArgument('expects a valid user ID');
  return id;
}

const maxPage = 100;

export function checkedList(request: ListRequest): ListRequest {
  const { limit, userId } = request;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPage) throw invalidArgument(`limit must be 1-${maxPage}`);
  return userId === undefined ? request : { ...request, userId: requireUser(userId) };
}

export function failedToRead(error: unknown): never {
  throw internalUnlessTransient(error, 'Error retrieving purchases.');
}
