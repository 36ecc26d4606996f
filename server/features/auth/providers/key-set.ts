import { type JWK, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import { Cached } from './cached.ts';
import { type Fields, fetchFields, fieldsOf, type ProviderKit } from './provider.ts';

/** What a token has to be besides genuine. */
export interface TokenRules {
  readonly algorithms: string[];
  readonly issuers: string[];
  /** None means any. */
  readonly audiences: readonly string[];
  readonly requiredClaims?: string[];
}

const hourMs = 3_600_000;
/** How long a key set that was read is used without asking again (spec: http-auth-accounts.md, section 3.5). */
const freshMs = hourMs;
/** How long it serves while the provider cannot be reached. */
const usableMs = 24 * hourMs;
const maxKeys = 64;
/** How far a provider's clock may be from ours. */
const clockToleranceSec = 5;

/** The public keys that a provider signs tokens with, by the address where it publishes them. */
export class KeySet {
  readonly #kit: ProviderKit;
  readonly #keys: Cached<readonly JWK[]>;

  /** @param locate answers where the key set is; asked before each time it is read. */
  constructor(kit: ProviderKit, party: string, locate: (deadline: number) => Promise<string> | string) {
    this.#kit = kit;
    this.#keys = new Cached(kit.clock, async () => {
      const deadline = kit.outbound.deadline();
      const url = await locate(deadline);
      const value = signingKeys(await fetchFields(kit.outbound, { party, url, deadline }));
      const now = kit.clock.now();
      return { value, freshUntil: now + freshMs, usableUntil: now + usableMs };
    });
  }

  /** The claims of a genuine token that keeps the rules. Throws whatever is wrong with it or with the key set. */
  async verify(token: string, rules: TokenRules): Promise<JWTPayload> {
    const key = ({ kid }: { kid?: string }): Promise<JWK> => this.#find(kid);
    const { payload } = await jwtVerify(token, key, verifyOptions(rules, this.#kit.clock.now()));
    return payload;
  }

  /** A key that is unknown may be new: the set is read again, though not for every token that names one. */
  async #find(kid: string | undefined): Promise<JWK> {
    const keys = await this.#keys.get();
    const found = pick(keys, kid) ?? pick(await this.#keys.newerThan(keys), kid);
    if (found === undefined) throw new Error('the token names no key of the provider');
    return found;
  }
}

/** How jose is to check a token; times by our own clock. */
export function verifyOptions(rules: TokenRules, nowMs: number): JWTVerifyOptions {
  return {
    algorithms: rules.algorithms,
    issuer: rules.issuers,
    ...(rules.audiences.length === 0 ? {} : { audience: [...rules.audiences] }),
    ...(rules.requiredClaims === undefined ? {} : { requiredClaims: rules.requiredClaims }),
    currentDate: new Date(nowMs),
    clockTolerance: clockToleranceSec,
  };
}

// A provider with a single key need not name it.
function pick(keys: readonly JWK[], kid: string | undefined): JWK | undefined {
  if (kid === undefined) return keys.length === 1 ? keys[0] : undefined;
  return keys.find((key) => key.kid === kid);
}

const publicKinds: ReadonlySet<unknown> = new Set(['RSA', 'EC', 'OKP']);

function signingKeys({ keys }: Fields): JWK[] {
  if (!Array.isArray(keys)) throw new Error('expected a key set');
  const signing = keys.map(fieldsOf).filter(({ kty, use }) => publicKinds.has(kty) && (use ?? 'sig') === 'sig');
  if (signing.length === 0 || signing.length > maxKeys) throw new Error(`a key set of ${signing.length} keys`);
  return signing as JWK[];
}
