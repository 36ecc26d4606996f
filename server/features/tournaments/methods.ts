import type Long from 'long';
import { invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { api, type Method } from '../../wire/method.ts';
import { Operator, toRecord, toRecordList } from '../leaderboards/index.ts';
import { clientWords, inClientWords } from './client-words.ts';
import type { Tournaments } from './tournaments.ts';
import { toTournament } from './views.ts';

const maxLimit = 100;
const defaultRecordLimit = 10;
const defaultAroundLimit = 100;
const defaultListLimit = 100;
const maxCategory = 127;

export function tournamentMethods(tournaments: Tournaments): Method[] {
  return [...entering(tournaments), ...recordLists(tournaments), ...tournamentList(tournaments)];
}

function entering(tournaments: Tournaments): Method[] {
  return [
    api('WriteTournamentRecord', { auth: 'session' }, async ({ user }, { tournament_id, record }) => {
      if (tournament_id === '') throw invalidArgument('Tournament ID must be provided.');
      if (record === null) throw invalidArgument('Invalid input, record score value is required.');
      if (record.metadata !== '' && !isJsonObject(record.metadata)) {
        throw invalidArgument('Metadata value must be JSON, if provided.');
      }
      const written = tournaments.write(
        {
          tournamentId: tournament_id,
          ownerId: user.id,
          username: user.username,
          score: toBigInt(record.score),
          subscore: toBigInt(record.subscore),
          metadata: record.metadata === '' ? null : record.metadata,
          operator: toOperator(record.operator),
        },
        'client',
      );
      const { board, expiry, row, rank } = await inClientWords(clientWords.write, written);
      return toRecord(board.id, expiry, row, rank);
    }),

    api('JoinTournament', { auth: 'session' }, async ({ user }, { tournament_id }) => {
      if (tournament_id === '') throw invalidArgument('Tournament ID must be provided.');
      const entry = { tournamentId: tournament_id, ownerId: user.id, username: user.username };
      await inClientWords(clientWords.join, tournaments.join(entry, 'client'));
      return {};
    }),

    api('DeleteTournamentRecord', { auth: 'session' }, async ({ user }, { tournament_id }) => {
      if (tournament_id === '') throw invalidArgument('Invalid tournament ID.');
      await inClientWords(clientWords.delete, tournaments.deleteRecord(tournament_id, user.id, 'client'));
      return {};
    }),
  ];
}

function recordLists(tournaments: Tournaments): Method[] {
  return [
    api('ListTournamentRecords', { auth: 'session' }, async (_ctx, request) => {
      if (request.tournament_id === '') throw invalidArgument('Tournament ID must be provided');
      const limit = request.limit === null ? null : checkLimit(request.limit.value);
      const ownerIds = request.owner_ids.map((id) => parseId(id, 'One or more owner IDs are invalid.'));
      const isOwnersOnly = ownerIds.length > 0 && request.cursor !== '';
      const listed = tournaments.listRecords(
        { tournamentId: request.tournament_id, expiry: toExpiry(request.expiry) },
        { ownerIds, limit: limit ?? (isOwnersOnly ? null : defaultRecordLimit), cursor: request.cursor },
        'client',
      );
      return toRecordList(await inClientWords(clientWords.listRecords, listed));
    }),

    api('ListTournamentRecordsAroundOwner', { auth: 'session' }, async (_ctx, request) => {
      if (request.tournament_id === '') throw invalidArgument('Invalid tournament ID.');
      const limit = checkLimit(request.limit?.value ?? defaultAroundLimit);
      if (request.owner_id === '') throw invalidArgument('Owner ID must be provided for a haystack query.');
      const ownerId = parseId(request.owner_id, 'Invalid owner ID provided.');
      const listed = tournaments.listRecordsAround(
        { tournamentId: request.tournament_id, expiry: toExpiry(request.expiry) },
        { ownerId, limit, cursor: request.cursor },
        'client',
      );
      return toRecordList(await inClientWords(clientWords.listAround, listed));
    }),
  ];
}

function tournamentList(tournaments: Tournaments): Method[] {
  return [
    api('ListTournaments', { auth: 'session' }, async (_ctx, request) => {
      const categoryStart = request.category_start?.value ?? 0;
      const categoryEnd = request.category_end?.value ?? maxCategory;
      const startTime = request.start_time?.value ?? null;
      const endTime = request.end_time?.value ?? null;
      const limit = request.limit?.value ?? defaultListLimit;
      if (categoryEnd > maxCategory) throw invalidArgument('Tournament category end must be >=0 and <128.');
      if (request.category_end !== null && categoryEnd < categoryStart) {
        throw invalidArgument('Tournament category end must be greater than category start.');
      }
      if (endTime !== null && endTime !== 0 && endTime < (startTime ?? 0)) {
        throw invalidArgument('Tournament end time must be greater than start time.');
      }
      if (limit < 1 || limit > maxLimit) throw invalidArgument(`Limit must be between 1 and ${maxLimit}.`);
      // By itself a start beyond all categories is no mistake.
      if (categoryStart > categoryEnd) return {};
      const filter = { categoryStart, categoryEnd, startTime, endTime };
      const listed = tournaments.list({ ...filter, limit, cursor: request.cursor });
      const page = await inClientWords(clientWords.list, listed);
      return { tournaments: page.tournaments.map(toTournament), cursor: page.cursor };
    }),
  ];
}

function checkLimit(limit: number): number {
  if (limit < 1 || limit > maxLimit) {
    throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxLimit}.`);
  }
  return limit;
}

function parseId(text: string, refused: string): string {
  const id = parseUuid(text);
  if (id === null) throw invalidArgument(refused);
  return id;
}

const toBigInt = (value: Long): bigint => BigInt(value.toString());

const toExpiry = (expiry: { readonly value: Long } | null): number => (expiry === null ? 0 : expiry.value.toNumber());

/** The wire counts from 1; 0 leaves it to the tournament. */
function toOperator(value: number): Operator | null {
  if (value === 0) return null;
  const operator = Object.values(Operator).find((known) => known === value - 1);
  if (operator === undefined) throw invalidArgument('Invalid operator.');
  return operator;
}
