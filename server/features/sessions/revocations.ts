import type Long from 'long';
import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { Init, muster } from '../../wire/generated/messages.js';
import type { Control } from './control.ts';
import {
  allInvalidations,
  allRevocations,
  invalidateUser,
  purgeInvalidations,
  purgeRevocations,
  recentRevocations,
  revokeTokens,
} from './queries.ts';
import type { TokenClaims } from './tokens.ts';

const sessionKind = 0;
const refreshKind = 1;
const rowsPerBatch = 1000;

/** How often a node looks whether something was revoked of which it has not heard. */
const lookEveryMs = 1000;
/** How far back it looks: a transaction may commit long after the time that it writes. */
const recentSec = 20;
/** When the last look is longer ago than that, it looks at everything. */
const maxLookGapMs = 10_000;

interface Lifetimes {
  readonly sessionTtlSec: number;
  readonly refreshTtlSec: number;
}

interface Dependencies {
  readonly db: Database;
  readonly control: Control;
  readonly clock: Clock;
  readonly lifetimes: Lifetimes;
  readonly log: Logger;
}

/**
 * Tokens that are dead before their expiry (spec: http-auth-accounts.md, section 2.5). SQL holds the truth; every node
 * keeps all live entries in memory, so that a check costs no query. Entries live no longer than the tokens they kill.
 * Nodes tell each other of new ones, and look into SQL for those of which nobody could tell.
 */
export class Revocations {
  readonly #db: Database;
  readonly #control: Control;
  readonly #clock: Clock;
  readonly #lifetimes: Lifetimes;
  readonly #log: Logger;
  /** Expiry (unix seconds) by kind and token id. */
  readonly #tokens = [new Map<string, number>(), new Map<string, number>()] as const;
  /** Unix second of the last "everything before now is dead" by user, with the entry's own expiry. */
  readonly #users = new Map<string, { notBefore: number; expiry: number }>();
  readonly #userListeners: ((userId: string) => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> | undefined;
  /** When it was last looked. */
  #lookedAt = 0;
  #isFailing = false;

  constructor({ db, control, clock, lifetimes, log }: Dependencies) {
    this.#db = db;
    this.#control = control;
    this.#clock = clock;
    this.#lifetimes = lifetimes;
    this.#log = log;
    control.onFrame((frame) => this.#onControl(frame));
  }

  /** To be called when this node hears the others already, so that nothing falls between. */
  async start(): Promise<void> {
    await this.reload();
    this.#timer = setInterval(() => {
      this.#look ??= this.#lookForNews().finally(() => {
        this.#look = undefined;
      });
    }, lookEveryMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#look;
  }

  /** Called with everyone whose tokens all died, once for each time, whatever node it happened on. */
  onUser(listener: (userId: string) => void): void {
    this.#userListeners.push(listener);
  }

  /** Adds everything that SQL holds and this node may have missed. */
  async reload(): Promise<void> {
    const lookedAt = this.#clock.monotonic();
    for await (const rows of this.#db.stream(allRevocations, [], rowsPerBatch)) {
      for (const row of rows) this.#addToken(row.kind, row.token_id, row.expire_time.seconds);
    }
    for await (const rows of this.#db.stream(allInvalidations, [], rowsPerBatch)) {
      for (const row of rows) this.#addUser(row.user_id, row.not_before.seconds, row.expire_time.seconds);
    }
    this.#lookedAt = lookedAt;
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
    await this.#control.tell({
      revocation: {
        user_id: userId,
        session_token_id: sessionRow?.id,
        session_token_expiry: sessionRow?.expiry,
        refresh_token_id: refreshRow?.id,
        refresh_token_expiry: refreshRow?.expiry,
      },
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
    const revocation: Init<muster.cluster.Revocation> = { user_id: userId, not_before: nowSec };
    const announce = (): Promise<void> => this.#control.tell({ revocation });
    if (tx !== undefined) {
      await tx.execute(invalidateUser, params);
      tx.afterCommit(announce);
    } else {
      await this.#db.execute(invalidateUser, params);
      await announce();
    }
  }

  /** Forgets here what no live token can match any more. */
  forget(nowSec: number): void {
    for (const tokens of this.#tokens) {
      for (const [id, expiry] of tokens) if (expiry < nowSec) tokens.delete(id);
    }
    for (const [id, { expiry }] of this.#users) if (expiry < nowSec) this.#users.delete(id);
  }

  /** The same in SQL, for all nodes. */
  async purge(): Promise<void> {
    await this.#db.execute(purgeRevocations, []);
    await this.#db.execute(purgeInvalidations, []);
  }

  // A token's issue second is its expiry less the configured lifetime; tokens of the same second survive.
  #isRevoked(kind: 0 | 1, claims: Pick<TokenClaims, 'id' | 'tokenId' | 'expiresAt'>, ttlSec: number): boolean {
    const user = this.#users.get(claims.id);
    if (user !== undefined && claims.expiresAt - ttlSec < user.notBefore) return true;
    return claims.tokenId !== '' && this.#tokens[kind].has(claims.tokenId);
  }

  async #lookForNews(): Promise<void> {
    const lookedAt = this.#clock.monotonic();
    try {
      if (lookedAt - this.#lookedAt > maxLookGapMs) {
        await this.reload();
      } else {
        for (const row of await this.#db.query(recentRevocations, [recentSec])) {
          const expiry = row.expire_time.seconds;
          if (row.not_before === null) this.#addToken(row.kind, row.id, expiry);
          else this.#addUser(row.id, row.not_before.seconds, expiry);
        }
        this.#lookedAt = lookedAt;
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#log.warn({ err: error }, 'could not look for new revocations');
      this.#isFailing = true;
    }
  }

  #onControl({ revocation }: muster.cluster.ControlFrame): void {
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
    if (known !== undefined && known.notBefore >= notBefore) return;
    this.#users.set(id, { notBefore, expiry });
    for (const listener of this.#userListeners) listener(id);
  }
}
