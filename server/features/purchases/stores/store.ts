import { compareInstants, type Instant } from '../../../store/types.ts';
import { refusal } from '../refusals.ts';

/** Numbers of the API and of the database. */
export const Store = { APPLE: 0, GOOGLE: 1, HUAWEI: 2, FACEBOOK_INSTANT: 3, SAMSUNG: 4 } as const;
export type Store = (typeof Store)[keyof typeof Store];

/** Numbers of the API and of the database. */
export const Environment = { UNKNOWN: 0, SANDBOX: 1, PRODUCTION: 2 } as const;
export type Environment = (typeof Environment)[keyof typeof Environment];

/** When what was never refunded was refunded. */
export const epoch: Instant = { seconds: 0, nanos: 0 };

export const isRefunded = (refundTime: Instant): boolean => compareInstants(refundTime, epoch) > 0;

/** A purchase as its store vouches for it. */
export interface StorePurchase {
  readonly store: Store;
  readonly environment: Environment;
  readonly transactionId: string;
  readonly productId: string;
  readonly purchaseTime: Instant;
  /** `epoch` when it is not refunded; undefined when the store does not say. */
  readonly refundTime: Instant | undefined;
  /** What is kept: the text of a JSON object. */
  readonly record: string;
  /** What is answered. */
  readonly response: string;
}

/** A subscription as its store vouches for it. */
export interface StoreSubscription {
  readonly store: Store;
  readonly environment: Environment;
  /** Stays the same over all its periods. */
  readonly originalTransactionId: string;
  readonly productId: string;
  /** The first purchase. */
  readonly purchaseTime: Instant;
  /** When the period began that ends at `expireTime`. */
  readonly periodStart: Instant;
  readonly expireTime: Instant;
  /** `epoch` when the period is not refunded. */
  readonly refundTime: Instant;
  /** What is kept, the text of a JSON object each; '' leaves what is there. */
  readonly response: string;
  readonly notification: string;
}

/** Width of the columns that hold them. */
const maxIdLength = 512;

/** Can there be anything of that id? */
export const isId = (id: string): boolean => id !== '' && id.length <= maxIdLength && !id.includes('\0');

/** Throws for an id that cannot be kept. */
export function checkIds(...ids: string[]): void {
  if (!ids.every(isId)) throw refusal('receipt is malformed');
}
