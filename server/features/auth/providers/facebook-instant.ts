import { createHmac, timingSafeEqual } from 'node:crypto';
import { AppError, Code, invalidArgument } from '../../../platform/errors.ts';
import { type Credential, fieldsOf, toVerified, type Verified } from './provider.ts';

/** What refuses a player: signing in has a text of its own (spec: http-auth-accounts.md, section 3.5). */
const refusals = {
  'sign-in': {
    code: Code.DATA_LOSS,
    text: 'Error extracting the Facebook Instant Game player ID or validating the signature',
  },
  link: { code: Code.UNAUTHENTICATED, text: 'Could not authenticate Facebook Instant Game profile.' },
} as const;

const hashes: ReadonlyMap<unknown, string> = new Map([
  ['HMAC-SHA256', 'sha256'],
  ['HS256', 'sha256'],
  ['HS384', 'sha384'],
  ['HS512', 'sha512'],
]);

/** Facebook Instant Games: the game is handed a signed player, and the application's secret tells whether it is so. */
export class FacebookInstant {
  readonly #secret: string;

  constructor(secret: string) {
    this.#secret = secret;
  }

  /** Throws INVALID_ARGUMENT without a player. */
  credential(signedPlayer: string, purpose: 'sign-in' | 'link'): Credential {
    if (signedPlayer === '') {
      throw invalidArgument('Signed Player Info for a Facebook Instant Game is required.');
    }
    return async () => {
      try {
        return this.#verify(signedPlayer);
      } catch (error) {
        const { code, text } = refusals[purpose];
        throw new AppError(code, text, { cause: error });
      }
    };
  }

  #verify(signedPlayer: string): Verified {
    // Anybody could sign with a secret that is empty.
    if (this.#secret === '') throw new Error('there is no app_secret');
    const [signature = '', payload = '', ...more] = signedPlayer.split('.');
    if (more.length > 0) throw new Error('expected a signature and a payload');
    const { algorithm, player_id } = fieldsOf(JSON.parse(Buffer.from(payload, 'base64url').toString()));
    const hash = hashes.get(algorithm);
    if (hash === undefined) throw new Error('unknown algorithm');
    const expected = createHmac(hash, this.#secret).update(payload).digest();
    const given = Buffer.from(signature, 'base64url');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Error('wrong signature');
    return toVerified('facebook_instant_game', { id: player_id });
  }
}
