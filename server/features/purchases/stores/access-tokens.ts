import type { Clock } from '../../../platform/clock.ts';
import { Unauthorized } from '../refusals.ts';

export interface AccessToken {
  readonly token: string;
  /** Seconds from now. */
  readonly expiresIn: number;
}

interface Entry {
  readonly token: Promise<string>;
  /** Monotonic milliseconds; until it is there, however long that takes. */
  expiresAt: number;
}

/** Tokens are used until so long before they expire. */
const marginMs = 300_000;
/** Accounts whose tokens are kept; game code may name any number. */
const maxAccounts = 100;

/** Access tokens to stores, kept while they last. Whoever needs one that is being fetched waits for that. */
export class AccessTokens {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * What `work` comes to with a token; with a new one when the store does not take that which was kept.
   * @param account whose token it is; tokens of one account are interchangeable.
   */
  async use<T>(account: string, fetch: () => Promise<AccessToken>, work: (token: string) => Promise<T>): Promise<T> {
    const entry = this.#get(account, fetch);
    const token = await entry.token;
    try {
      return await work(token);
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      if (this.#entries.get(account) === entry) this.#entries.delete(account);
      return await work(await this.#get(account, fetch).token);
    }
  }

  #get(account: string, fetch: () => Promise<AccessToken>): Entry {
    const known = this.#entries.get(account);
    if (known !== undefined && this.#clock.monotonic() < known.expiresAt) return known;
    const entry: Entry = { token: this.#fetch(account, fetch), expiresAt: Number.POSITIVE_INFINITY };
    this.#entries.delete(account);
    this.#entries.set(account, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > maxAccounts && oldest !== undefined) this.#entries.delete(oldest);
    return entry;
  }

  async #fetch(account: string, fetch: () => Promise<AccessToken>): Promise<string> {
    // After the entry is there.
    await Promise.resolve();
    const entry = this.#entries.get(account);
    try {
      const { token, expiresIn } = await fetch();
      if (entry !== undefined) entry.expiresAt = this.#clock.monotonic() + expiresIn * 1000 - marginMs;
      return token;
    } catch (error) {
      if (this.#entries.get(account) === entry) this.#entries.delete(account);
      throw error;
    }
  }
}
