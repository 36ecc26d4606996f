import { createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { Clock } from '../../platform/clock.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { AuthenticatedUser } from '../../wire/session.ts';

export interface TokenOptions {
  readonly sessionKey: string;
  readonly refreshKey: string;
  readonly sessionTtlSec: number;
  readonly refreshTtlSec: number;
  /** How many verified session tokens to remember, so that a busy client costs one HMAC and not one per call. */
  readonly cacheSize: number;
}

/** What a token says once its signature, algorithm and expiry are checked; the claims of the spec by longer names. */
export interface TokenClaims extends AuthenticatedUser {
  /** Unix seconds of the login; kept across refreshes. */
  readonly loginAt: number;
}

export interface TokenPair {
  readonly token: string;
  readonly refreshToken: string;
}

const signing: jwt.SignOptions = { algorithm: 'HS256', header: { alg: 'HS256', typ: 'JWT' } };

/** Signs and verifies session and refresh tokens (spec: http-auth-accounts.md, section 2.1). */
export class Tokens {
  readonly #options: TokenOptions;
  readonly #sessionKey: KeyObject;
  readonly #refreshKey: KeyObject;
  readonly #clock: Clock;
  readonly #cache = new Map<string, TokenClaims>();

  constructor(options: TokenOptions, clock: Clock) {
    this.#options = options;
    this.#sessionKey = createSecretKey(Buffer.from(options.sessionKey));
    this.#refreshKey = createSecretKey(Buffer.from(options.refreshKey));
    this.#clock = clock;
  }

  /** Unix seconds. */
  get now(): number {
    return Math.floor(this.#clock.now() / 1000);
  }

  /** A new pair for that user. Token id and login time are shared by both tokens. */
  issue(user: {
    userId: string;
    username: string;
    vars: Readonly<Record<string, string>>;
    tokenId: string;
    loginAt: number;
  }): TokenPair {
    const { now } = this;
    const claims = {
      tid: user.tokenId,
      uid: user.userId,
      usn: user.username,
      ...(Object.keys(user.vars).length > 0 ? { vrs: user.vars } : {}),
    };
    // As text: what it is given as an object the library checks and copies, for a twentieth of what a sign-in costs.
    const sign = (ttlSec: number, key: KeyObject): string =>
      jwt.sign(JSON.stringify({ ...claims, exp: now + ttlSec, iat: user.loginAt }), key, signing);
    return {
      token: sign(this.#options.sessionTtlSec, this.#sessionKey),
      refreshToken: sign(this.#options.refreshTtlSec, this.#refreshKey),
    };
  }

  /** The claims of a genuine, unexpired session token, or null. */
  verifySession(token: string): TokenClaims | null {
    const cached = this.#cache.get(token);
    if (cached !== undefined) {
      if (this.now < cached.expiresAt) return cached;
      this.#cache.delete(token);
      return null;
    }
    const claims = this.#verify(token, this.#sessionKey);
    if (claims !== null) this.#remember(token, claims);
    return claims;
  }

  /** The claims of a genuine, unexpired refresh token, or null. */
  verifyRefresh(token: string): TokenClaims | null {
    return this.#verify(token, this.#refreshKey);
  }

  #remember(token: string, claims: TokenClaims): void {
    if (this.#cache.size >= this.#options.cacheSize) {
      const oldest = this.#cache.keys().next();
      if (!oldest.done) this.#cache.delete(oldest.value);
    }
    this.#cache.set(token, claims);
  }

  #verify(token: string, key: KeyObject): TokenClaims | null {
    let payload: unknown;
    try {
      payload = jwt.verify(token, key, { algorithms: ['HS256'], ignoreNotBefore: true, clockTimestamp: this.now });
    } catch {
      return null;
    }
    return typeof payload === 'object' && payload !== null ? toClaims(payload as Record<string, unknown>) : null;
  }
}

function toClaims({ tid, uid, usn, vrs, exp, iat }: Record<string, unknown>): TokenClaims | null {
  if (!isTime(exp)) return null;
  // The reference reads a missing or broken user id as the system user; we refuse it (docs/compatibility.md).
  const id = typeof uid === 'string' ? parseUuid(uid) : null;
  if (id === null || id === nilUuid) return null;
  const vars = toVars(vrs);
  if (vars === null) return null;
  return {
    id,
    username: typeof usn === 'string' ? usn : '',
    vars,
    tokenId: (typeof tid === 'string' && parseUuid(tid)) || '',
    expiresAt: exp,
    loginAt: isTime(iat) ? iat : 0,
  };
}

// JSON reads 1e999 as infinity.
const isTime = (claim: unknown): claim is number => typeof claim === 'number' && Number.isFinite(claim);

function toVars(claim: unknown): Record<string, string> | null {
  if (claim === undefined || claim === null) return {};
  if (typeof claim !== 'object' || Array.isArray(claim)) return null;
  const entries = Object.entries(claim);
  return entries.every((entry) => typeof entry[1] === 'string') ? Object.fromEntries(entries) : null;
}
