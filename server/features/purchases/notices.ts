import { createHash, timingSafeEqual } from 'node:crypto';
import type { Logger } from 'pino';
import { Semaphore } from '../../platform/semaphore.ts';
import type { RawRequest, RawRoute } from '../../wire/raw-route.ts';
import type { AppleNotices } from './apple-notices.ts';
import type { NotifyingStore } from './callbacks.ts';
import type { GoogleNotices } from './google-notices.ts';

interface Dependencies {
  readonly apple: AppleNotices;
  readonly google: GoogleNotices;
  /** Ids of the configuration; '' turns a store's notifications off. */
  readonly endpointIds: Readonly<Record<NotifyingStore, string>>;
  /** Notifications handled at once; further ones wait, and beyond that are refused. */
  readonly concurrent: number;
  readonly queued: number;
  readonly log: Logger;
}

/** Where stores send to; those that were set up long ago know the second word. */
const words = ['notifications', 'subscriptions'] as const;
const names: Readonly<Record<NotifyingStore, string>> = { apple: 'AppleNotification', google: 'GoogleNotification' };

/** What stores tell by themselves (spec: storage-wallet-purchases.md, section 6.10). */
export class StoreNotices {
  readonly #deps: Dependencies;
  readonly #slots: Semaphore;
  /** `/v2/console/<store>/notifications/<id>`, for whichever listener serves them. */
  readonly routes: readonly RawRoute[];

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#slots = new Semaphore(deps.concurrent, deps.queued);
    this.routes = (['apple', 'google'] as const).flatMap((store) =>
      words.map((word) => ({
        name: `${names[store]}${word === 'notifications' ? '' : 'Legacy'}`,
        path: `/v2/console/${store}/${word}/{id}`,
        handle: (request) => this.#receive(store, request),
      })),
    );
  }

  /**
   * 200 when it is done with, be it by ignoring it, 500 when the store is to send it again, 503 when too many are being
   * handled already, 404 for a wrong id or where they are turned off: who knows the id is the store, and before that
   * is clear nothing of the body is read.
   */
  async #receive(store: NotifyingStore, { values: [endpointId = ''], readBody }: RawRequest): Promise<number> {
    const { endpointIds, log } = this.#deps;
    const expected = endpointIds[store];
    if (expected === '' || !isSame(endpointId, expected)) return 404;
    const body = Buffer.from(await readBody()).toString('utf8');
    let isTaken = false;
    try {
      return await this.#slots.run(async () => {
        isTaken = true;
        await this.#deps[store].handle(body);
        return 200;
      });
    } catch (error) {
      log.warn({ err: error, store }, 'notification of a store could not be handled');
      return isTaken ? 500 : 503;
    }
  }
}

const isSame = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected));

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
