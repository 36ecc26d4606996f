import { newId } from '../../platform/ids.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { AuthenticatedUser } from '../../wire/session.ts';
import type { Revocations } from './revocations.ts';
import type { TokenClaims, TokenPair, Tokens } from './tokens.ts';

/** Who holds which tokens, and which of them still count. */
export class Sessions {
  readonly #tokens: Tokens;
  readonly #revocations: Revocations;

  constructor(tokens: Tokens, revocations: Revocations) {
    this.#tokens = tokens;
    this.#revocations = revocations;
  }

  /** The user behind a genuine, unexpired, unrevoked session token, or null. */
  verify(token: string): TokenClaims | null {
    const claims = this.#tokens.verifySession(token);
    return claims !== null && !this.#revocations.isSessionRevoked(claims) ? claims : null;
  }

  /** The claims of a genuine, unexpired, unrevoked refresh token, or null. */
  verifyRefresh(token: string): TokenClaims | null {
    const claims = this.#tokens.verifyRefresh(token);
    return claims !== null && !this.#revocations.isRefreshRevoked(claims) ? claims : null;
  }

  /** Was the token that this user came in with revoked since? */
  isRevoked(user: AuthenticatedUser): boolean {
    return this.#revocations.isSessionRevoked(user);
  }

  /** A fresh login: new token id, login time now. */
  open(user: { userId: string; username: string; vars: Readonly<Record<string, string>> }): TokenPair {
    return this.#tokens.issue({ ...user, tokenId: newId(), loginAt: this.#tokens.now });
  }

  /** Continues a login: same token id and login time, new expiries. */
  renew(claims: TokenClaims, username: string, vars: Readonly<Record<string, string>>): TokenPair {
    return this.#tokens.issue({
      userId: claims.id,
      username,
      vars,
      tokenId: claims.tokenId === '' ? newId() : claims.tokenId,
      loginAt: claims.loginAt,
    });
  }

  /** Kills these tokens of the user, and those of the same login that a refresh made. */
  async revoke(userId: string, session: TokenClaims | null, refresh: TokenClaims | null): Promise<void> {
    await this.#revocations.revoke(userId, session, refresh, this.#tokens.now);
  }

  /** Kills every token the user got before this second. */
  async revokeAll(userId: string, tx?: Transaction): Promise<void> {
    await this.#revocations.invalidateUser(userId, this.#tokens.now, tx);
  }

  /** Called with everyone whose tokens were all killed, on whatever node. */
  onRevokedAll(listener: (userId: string) => void): void {
    this.#revocations.onUser(listener);
  }
}
