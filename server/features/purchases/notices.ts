import { createHash, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import type { AppleNotices } from './apple-notices.ts';
import type { NotifyingStore } from './callbacks.ts';
import type { GoogleNotices } from './google-notices.ts';

interface Dependencies {
  readonly apple: AppleNotices;
  readonly google: GoogleNotices;
  /** Ids of the configuration; '' turns a store's notifications off. */
  readonly endpointIds: Readonly<Record<NotifyingStore, string>>;
  readonly log: Logger;
}

/** What stores tell by themselves (spec: storage-wallet-purchases.md, section 6.10). */
export class StoreNotices {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Takes a notification, by any HTTP method, from `/v2/console/<store>/notifications/<id>` or, for stores that were
   * set up long ago, `/v2/console/<store>/subscriptions/<id>`. Answers the HTTP status: 200 when it is done with, be it
   * by ignoring it, 500 when the store is to send it again, 404 for a wrong id or where they are turned off. Never
   * throws.
   * @param endpointId the last part of the path: who knows it is the store.
   */
  async receive(store: NotifyingStore, endpointId: string, body: Uint8Array): Promise<200 | 404 | 500> {
    const { endpointIds, log } = this.#deps;
    const expected = endpointIds[store];
    if (expected === '' || !isSame(endpointId, expected)) return 404;
    try {
      await this.#deps[store].handle(Buffer.from(body).toString('utf8'));
      return 200;
    } catch (error) {
      log.warn({ err: error, store }, 'notification of a store could not be handled');
      return 500;
    }
  }
}

const isSame = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected));

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
