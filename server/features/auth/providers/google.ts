import { X509Certificate } from 'node:crypto';
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import type { GoogleCredentials } from '../../../platform/config-social.ts';
import { invalidArgument } from '../../../platform/errors.ts';
import { Cached, type Reading, renewalMs } from './cached.ts';
import { verifyOptions } from './key-set.ts';
import { PlayGames } from './play-games.ts';
import { type Credential, credential, fetchFields, type ProviderKit, toVerified, type Verified } from './provider.ts';

type Certificates = ReadonlyMap<string, X509Certificate>;

const certificatesAddress = 'https://www.googleapis.com/oauth2/v1/certs';
/** Certificates are read again this long before the first of them expires. */
const aheadMs = 3_600_000;
const maxCertificates = 32;

interface Settings {
  /** OAuth client ids; none means any. */
  readonly audiences: readonly string[];
  readonly credentials: GoogleCredentials | null;
}

/** Google: an ID token, or else a server auth code of Play Games. */
export class Google {
  readonly #kit: ProviderKit;
  readonly #audiences: readonly string[];
  readonly #certificates: Cached<Certificates>;
  readonly #playGames: PlayGames;

  constructor(kit: ProviderKit, { audiences, credentials }: Settings) {
    this.#kit = kit;
    this.#audiences = audiences;
    this.#certificates = new Cached(kit.clock, () => this.#readCertificates());
    this.#playGames = new PlayGames(kit, credentials);
  }

  /** Throws INVALID_ARGUMENT without a token. */
  credential(token: string): Credential {
    if (token === '') throw invalidArgument('Google access token is required.');
    return credential('Google', token, this.#kit.log, () =>
      token.split('.').length === 3 ? this.#byIdToken(token) : this.#playGames.byCode(token),
    );
  }

  async #byIdToken(token: string): Promise<Verified> {
    const { sub, azp, aud, email, name, picture } = await this.#verify(token);
    if (typeof azp !== 'string' || typeof aud !== 'string') throw new Error('expected azp and aud to be text');
    return toVerified('google', { id: sub, email, displayName: name, avatarUrl: picture });
  }

  /** Any of the certificates may have signed it; the key id only tells whether there may be a new one. */
  async #verify(token: string): Promise<JWTPayload> {
    const { kid } = decodeProtectedHeader(token);
    const known = await this.#certificates.get();
    const isNew = kid !== undefined && !known.has(kid);
    const certificates = isNew ? await this.#certificates.newerThan(known) : known;
    const options = verifyOptions(
      {
        algorithms: ['RS256'],
        issuers: ['accounts.google.com', 'https://accounts.google.com'],
        audiences: this.#audiences,
        requiredClaims: ['exp', 'sub', 'azp', 'aud'],
      },
      this.#kit.clock.now(),
    );
    for (const { publicKey } of certificates.values()) {
      try {
        return (await jwtVerify(token, publicKey, options)).payload;
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }

  async #readCertificates(): Promise<Reading<Certificates>> {
    const fields = await fetchFields(this.#kit.outbound, { party: 'google', url: certificatesAddress });
    const entries = Object.entries(fields).map(([kid, pem]) => [kid, new X509Certificate(String(pem))] as const);
    if (entries.length === 0 || entries.length > maxCertificates) throw new Error(`${entries.length} certificates`);
    const ends = entries.map(([, { validTo }]) => Date.parse(validTo));
    const soonest = this.#kit.clock.now() + renewalMs;
    return {
      value: new Map(entries),
      freshUntil: Math.max(Math.min(...ends) - aheadMs, soonest),
      usableUntil: Math.max(...ends, soonest),
    };
  }
}
