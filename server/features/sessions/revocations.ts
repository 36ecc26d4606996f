import type Long from 'long';
import type { Logger } from 'pino';
import { type Bus, controlTopic, type Subscription } from '../../cluster/bus.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import { type Init, muster } from '../../wire/generated/messages.js';
import {
  allInvalidations,
  allRevocations,
  invalidateUser,
  purgeInvalidations,
  purgeRevocations,
  revokeTokens,
} from './queries.ts';
import type { TokenClaims } from './tokens.ts';

const sessionKind = 0;
const refreshKind = 1;
const rowsPerBatch = 1000;

interface Lifetimes {
  readonly sessionTtlSec: number;
  readonly refreshTtlSec: number;
}

/**
 * Tokens that are dead before their expiry (spec: http-auth-accounts.md, section 2.5). SQL holds the truth; every node
 * keeps all live entries in memory, so that a check costs no query. Entries live no longer than the tokens they kill.
 */
export class Revocations {
  readonly #db: Database;
  readonly #bus: Bus;
  readonly #lifetimes: Lifetimes;
  readonly #log: Logger;
  /** Expiry (unix seconds) by kind and token id. */
  readonly #tokens = [new Map<string, number>(), new Map<string, number>()] as const;
  /** Unix second of the last "everything before now is dead" by user, with the entry's own expiry. */
  readonly #users = new Map<string, { notBefore: number; expiry: number }>();
  #subscription: Subscription | undefined;

  constructor(db: Database, bus: Bus, lifetimes: Lifetimes, log: Logger) {
    this.#db = db;
    this.#bus = bus;
    this.#lifetimes = lifetimes;
    this.#log = log;
  }

  /** Hears other nodes first, then loads what SQL holds, so that nothing falls between. */
  async start(): Promise<void> {
    this.#subscription = await this.#bus.subscribe(controlTopic, (frame) => this.#onControl(frame));
    await this.reload();
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  /** Adds everything that SQL holds and this node may have missed. */
  async reload(): Promise<void> {
    for await (const rows of this.#db.stream(allRevocations, [], rowsPerBatch)) {
      for (const row of rows) this.#addToken(row.kind, row.token_id, row.expire_time.seconds);
    }
    for await (const rows of this.#db.stream(allInvalidations, [], rowsPerBatch)) {
      for (const row of rows) this.#addUser(row.user_id, row.not_before.seconds, row.expire_time.seconds);
    }
  }

  isSessionRevoked(claims: Pick<TokenClaims, 'id' | 'tokenId' | 'expiresAt'>): boolean {
    return this.#isRevoked(sessionKind, claims, this.#lifetimes.sessionTtlSec);
  }

  isRefreshRevoked(claims: Pick<TokenClaims, 'id' | 'tokenId' | 'expiresAt'>): boolean {
    return this.#isRevoked(refreshKind, claims, this.#lifetimes.refreshTtlSec);
  }

  /**
   * Kills single tokens of one user, on every node and for good; with them die all of the same login, which share
   * their id: the entry lasts as long as the newest of those may.
   * @param nowSec unix seconds
   */
  async revoke(
    userId: string,
    session: TokenClaims | null,
    refresh: TokenClaims | null,
    nowSec: number,
  ): Promise<void> {
    const { sessionTtlSec, refreshTtlSec } = this.#lifetimes;
    const rows = [
      { kind: sessionKind, claims: session, newest: nowSec + sessionTtlSec },
      { kind: refreshKind, claims: refresh, newest: nowSec + refreshTtlSec },
    ].flatMap(({ kind, claims, newest }) =>
      claims !== null && claims.tokenId !== ''
        ? [{ kind, id: claims.tokenId, expiry: Math.max(claims.expiresAt, newest) + 1 }]
        : [],
    );
    if (rows.length === 0) return;
    await this.#db.execute(revokeTokens, [
      userId,
      rows.map((row) => row.id),
      rows.map((row) => row.kind),
      rows.map((row) => row.expiry),
    ]);
    const [sessionRow, refreshRow] = [sessionKind, refreshKind].map((kind) => rows.find((row) => row.kind === kind));
    await this.#announce({
      user_id: userId,
      session_token_id: sessionRow?.id,
      session_token_expiry: sessionRow?.expiry,
      refresh_token_id: refreshRow?.id,
      refresh_token_expiry: refreshRow?.expiry,
    });
  }

  /**
   * Kills every token of the user issued before this second, on every node and for good. Inside a transaction the
   * other nodes hear of it once it committed.
   * @param nowSec unix seconds
   */
  async invalidateUser(userId: string, nowSec: number, tx?: Transaction): Promise<void> {
    const { sessionTtlSec, refreshTtlSec } = this.#lifetimes;
    const expiry = nowSec + Math.max(sessionTtlSec, refreshTtlSec) + 1;
    const params = [userId, nowSec, expiry];
    const announce = (): Promise<void> => this.#announce({ user_id: userId, not_before: nowSec });
    if (tx !== undefined) {
      await tx.execute(invalidateUser, params);
      tx.afterCommit(announce);
    } else {
      await this.#db.execute(invalidateUser, params);
      await announce();
    }
  }

  /** Forgets what no live token can match any more, here and in SQL. */
  async purge(nowSec: number): Promise<void> {
    for (const tokens of this.#tokens) {
      for (const [id, expiry] of tokens) if (expiry < nowSec) tokens.delete(id);
    }
    for (const [id, { expiry }] of this.#users) if (expiry < nowSec) this.#users.delete(id);
    await this.#db.execute(purgeRevocations, []);
    await this.#db.execute(purgeInvalidations, []);
  }

  // A token's issue second is its expiry less the configured lifetime; tokens of the same second survive.
  #isRevoked(kind: 0 | 1, claims: Pick<TokenClaims, 'id' | 'tokenId' | 'expiresAt'>, ttlSec: number): boolean {
    const user = this.#users.get(claims.id);
    if (user !== undefined && claims.expiresAt - ttlSec < user.notBefore) return true;
    return claims.tokenId !== '' && this.#tokens[kind].has(claims.tokenId);
  }

  // It holds here at once, even if the bus is down; other nodes then catch up by reload().
  async #announce(revocation: Init<muster.cluster.Revocation>): Promise<void> {
    const frame = muster.cluster.ControlFrame.encode({ revocation }).finish();
    this.#onControl(frame);
    try {
      await this.#bus.publish(controlTopic, frame);
    } catch (error) {
      this.#log.warn({ err: error }, 'could not tell other nodes of a revocation');
    }
  }

  #onControl(frame: Uint8Array): void {
    const { revocation } = muster.cluster.ControlFrame.decode(frame);
    if (revocation === null) return;
    const seconds = (value: Long): number => value.toNumber();
    if (revocation.session_token_id !== '') {
      this.#addToken(sessionKind, revocation.session_token_id, seconds(revocation.session_token_expiry));
    }
    if (revocation.refresh_token_id !== '') {
      this.#addToken(refreshKind, revocation.refresh_token_id, seconds(revocation.refresh_token_expiry));
    }
    const notBefore = seconds(revocation.not_before);
    if (notBefore > 0) {
      const { sessionTtlSec, refreshTtlSec } = this.#lifetimes;
      this.#addUser(revocation.user_id, notBefore, notBefore + Math.max(sessionTtlSec, refreshTtlSec) + 1);
    }
  }

  #addToken(kind: number, id: string, expiry: number): void {
    this.#tokens[kind === refreshKind ? refreshKind : sessionKind].set(id, expiry);
  }

  #addUser(id: string, notBefore: number, expiry: number): void {
    const known = this.#users.get(id);
    if (known === undefined || known.notBefore < notBefore) this.#users.set(id, { notBefore, expiry });
  }
}
