import { expect } from 'vitest';
import type { Leaderboards, NewLeaderboard } from '../../features/leaderboards/index.ts';
import type { TestClock } from '../../testing/clock.ts';
import type { Doorway } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import type { TestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { overRest } from './groups-support.ts';

type Calls = Pick<Doorway, 'ok' | 'call'>;

let ids = 0;
/** The id of a leaderboard that no other test uses. */
export const newLeaderboardId = (): string => `board-${process.pid}-${Date.now().toString(36)}-${++ids}`;

/** On the node whose turn it is. */
export const leaderboardsOf = (server: TestServer): Leaderboards => server.features.leaderboards.leaderboards;

/** Creates a leaderboard with ranks; answers its id. */
export async function createLeaderboard(server: TestServer, fields: Partial<NewLeaderboard> = {}): Promise<string> {
  const id = fields.id ?? newLeaderboardId();
  await leaderboardsOf(server).create({ enableRanks: true, ...fields, id });
  return id;
}

/** Puts a clock to a time, forward or back; answers it in unix seconds. */
export function setTime(clock: TestClock, text: string): number {
  const ms = Date.parse(`${text}Z`);
  if (Number.isNaN(ms)) throw new Error(`no time: ${text}`);
  clock.advance(ms - clock.now());
  return Math.floor(ms / 1000);
}

/** What one player does and gets, through whichever door. */
export class Scorer {
  readonly player: Player;
  readonly #calls: Calls;

  constructor(calls: Calls, player: Player) {
    this.#calls = calls;
    this.player = player;
  }

  static async enter(server: TestServer, calls: Calls = overRest(server)): Promise<Scorer> {
    return new Scorer(calls, await signIn(server));
  }

  get id(): string {
    return this.player.id;
  }

  /** Writes a record; answers the outcome, which may be a failure. */
  tryWrite(leaderboard_id: string, record: object) {
    return this.#calls.call('WriteLeaderboardRecord', this.player.authorization, { leaderboard_id, record });
  }

  /** Writes a record; answers it. */
  write(leaderboard_id: string, score: number | string, subscore: number | string = 0, rest: object = {}) {
    return this.ok('WriteLeaderboardRecord', { leaderboard_id, record: { score, subscore, ...rest } });
  }

  list(leaderboard_id: string, request: object = {}): Promise<Envelope> {
    return this.ok('ListLeaderboardRecords', { leaderboard_id, ...request });
  }

  tryList(leaderboard_id: string, request: object = {}) {
    return this.call('ListLeaderboardRecords', { leaderboard_id, ...request });
  }

  around(leaderboard_id: string, owner_id: string, request: object = {}): Promise<Envelope> {
    return this.ok('ListLeaderboardRecordsAroundOwner', { leaderboard_id, owner_id, ...request });
  }

  tryAround(leaderboard_id: string, owner_id: string, request: object = {}) {
    return this.call('ListLeaderboardRecordsAroundOwner', { leaderboard_id, owner_id, ...request });
  }

  delete(leaderboard_id: string): Promise<Envelope> {
    return this.ok('DeleteLeaderboardRecord', { leaderboard_id });
  }

  /** The player's own record in the present period, or another one. */
  async own(leaderboard_id: string, request: object = {}): Promise<Envelope> {
    return (await this.list(leaderboard_id, { owner_ids: [this.id], ...request })).owner_records?.[0];
  }

  call(method: string, request: object = {}) {
    return this.#calls.call(method, this.player.authorization, request);
  }

  ok(method: string, request: object = {}): Promise<Envelope> {
    return this.#calls.ok(method, this.player.authorization, request);
  }
}

/** An owner that is no user, by a number below 2^32: greater numbers have greater ids. */
export const ownerId = (n: number): string => `${n.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`;

/** Ranks of records, null for those without. */
export const ranksOf = (records: Envelope[] = []): (number | null)[] =>
  records.map(({ rank }) => (rank === undefined ? null : Number(rank)));

/** Code and text of a refusal. */
export const refused = (code: number, message: string) => expect.objectContaining({ code, message });
