import { AppError, Code } from '../../platform/errors.ts';

/**
 * A bad receipt or a store that says no. Clients get it under the code of a server's fault, as the contract has it
 * (spec: storage-wallet-purchases.md, section 6), but it is nobody's fault here and worth no error line in the log.
 */
class Refusal extends AppError {
  override get isServerFault(): boolean {
    return false;
  }
}

/** A store does not take the access token. */
export class Unauthorized extends Refusal {
  constructor(message: string) {
    super(Code.UNKNOWN, message);
  }
}

export const refusal = (message: string, cause?: unknown): AppError => new Refusal(Code.UNKNOWN, message, { cause });

export const failedPrecondition = (message: string): AppError => new AppError(Code.FAILED_PRECONDITION, message);

export const subscriptionReceipt = (): AppError =>
  failedPrecondition('Subscription Receipt. Use the appropriate function instead.');

export const purchaseReceipt = (): AppError =>
  failedPrecondition('Purchase Receipt. Use the appropriate function instead.');
