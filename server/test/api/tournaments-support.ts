import { expect } from 'vitest';
import type { NewTournament, Tournaments } from '../../features/tournaments/index.ts';
import type { Doorway } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import type { TestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { overRest } from './groups-support.ts';

type Calls = Pick<Doorway, 'ok' | 'call'>;

let ids = 0;
/** The id of a tournament that no other test uses. */
export const newTournamentId = (): string => `tournament-${process.pid}-${Date.now().toString(36)}-${++ids}`;

/** On the node whose turn it is. */
export const tournamentsOf = (server: TestServer): Tournaments => server.features.tournaments.tournaments;

/** Creates a tournament that is open for an hour, and that clients may write to; answers its id. */
export async function createTournament(server: TestServer, fields: Partial<NewTournament> = {}): Promise<string> {
  const id = newTournamentId();
  await tournamentsOf(server).create({ id, duration: 3600, authoritative: false, ...fields });
  return id;
}

/** The tournament as clients see it. */
export async function seen(calls: Calls, player: Player, id: string): Promise<Envelope> {
  for (let cursor = ''; ; ) {
    const page = await calls.ok('ListTournaments', player.authorization, { end_time: 0, ...(cursor && { cursor }) });
    const found = page.tournaments?.find((tournament: Envelope) => tournament.id === id);
    if (found !== undefined || page.cursor === undefined) return found;
    cursor = page.cursor;
  }
}

/** What one player does and gets, through whichever door. */
export class Competitor {
  readonly player: Player;
  readonly #calls: Calls;

  constructor(calls: Calls, player: Player) {
    this.#calls = calls;
    this.player = player;
  }

  static async enter(server: TestServer, calls: Calls = overRest(server)): Promise<Competitor> {
    return new Competitor(calls, await signIn(server));
  }

  get id(): string {
    return this.player.id;
  }

  /** Submits a score; answers the outcome, which may be a failure. */
  tryWrite(tournament_id: string, score: number | string, record: object = {}) {
    const request = { tournament_id, record: { score: String(score), ...record } };
    return this.#calls.call('WriteTournamentRecord', this.player.authorization, request);
  }

  /** Submits a score; answers the record. */
  write(tournament_id: string, score: number | string, record: object = {}): Promise<Envelope> {
    const request = { tournament_id, record: { score: String(score), ...record } };
    return this.ok('WriteTournamentRecord', request);
  }

  join(tournament_id: string): Promise<Envelope> {
    return this.ok('JoinTournament', { tournament_id });
  }

  delete(tournament_id: string): Promise<Envelope> {
    return this.ok('DeleteTournamentRecord', { tournament_id });
  }

  records(tournament_id: string, request: object = {}): Promise<Envelope> {
    return this.ok('ListTournamentRecords', { tournament_id, ...request });
  }

  /** The player's own record in the present period. */
  async own(tournament_id: string, request: object = {}): Promise<Envelope> {
    return (await this.records(tournament_id, { owner_ids: [this.id], ...request })).owner_records?.[0];
  }

  seen(id: string): Promise<Envelope> {
    return seen(this.#calls, this.player, id);
  }

  call(method: string, request: object = {}) {
    return this.#calls.call(method, this.player.authorization, request);
  }

  ok(method: string, request: object = {}): Promise<Envelope> {
    return this.#calls.ok(method, this.player.authorization, request);
  }
}

/** Code and text of a refusal. */
export const refused = (code: number, message: string) => expect.objectContaining({ code, message });
