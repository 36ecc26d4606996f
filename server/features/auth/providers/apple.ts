import type { Config } from '../../../platform/config.ts';
import { invalidArgument } from '../../../platform/errors.ts';
import { KeySet } from './key-set.ts';
import { type Credential, credential, notConfigured, type ProviderKit, toVerified } from './provider.ts';

/** Sign in with Apple, by identity token. */
export class Apple {
  readonly #kit: ProviderKit;
  readonly #settings: Config['social']['apple'];
  readonly #keys: KeySet;

  constructor(kit: ProviderKit, settings: Config['social']['apple']) {
    this.#kit = kit;
    this.#settings = settings;
    this.#keys = new KeySet(kit, 'apple', () => 'https://appleid.apple.com/auth/keys');
  }

  /** Throws FAILED_PRECONDITION when Apple is off, INVALID_ARGUMENT without a token. */
  credential(token: string): Credential {
    if (this.#settings.bundle_id === '') throw notConfigured('Apple');
    if (token === '') throw invalidArgument('Apple ID token is required.');
    return credential('Apple', token, this.#kit.log, async () => {
      const { sub, email } = await this.#keys.verify(token, {
        algorithms: ['RS256'],
        issuers: ['https://appleid.apple.com'],
        audiences: this.#settings.audiences,
      });
      return toVerified('apple', { id: sub, email });
    });
  }
}
