import { invalidArgument } from '../../platform/errors.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { api, type Method } from '../../wire/method.ts';
import {
  parseLimit,
  parseOwner,
  parseOwners,
  toBigInt,
  toOperator,
  toRecord,
  toRecordList,
  toSeconds,
} from '../leaderboards/index.ts';
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
      const { board, expiry, row, rank } = await tournaments.write(
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
      return toRecord(board.id, expiry, row, rank);
    }),

    api('JoinTournament', { auth: 'session' }, async ({ user }, { tournament_id }) => {
      if (tournament_id === '') throw invalidArgument('Tournament ID must be provided.');
      const entry = { tournamentId: tournament_id, ownerId: user.id, username: user.username };
      await tournaments.join(entry, 'client');
      return {};
    }),

    api('DeleteTournamentRecord', { auth: 'session' }, async ({ user }, { tournament_id }) => {
      if (tournament_id === '') throw invalidArgument('Invalid tournament ID.');
      await tournaments.deleteRecord(tournament_id, user.id, 'client');
      return {};
    }),
  ];
}

function recordLists(tournaments: Tournaments): Method[] {
  return [
    api('ListTournamentRecords', { auth: 'session' }, async (_ctx, request) => {
      if (request.tournament_id === '') throw invalidArgument('Tournament ID must be provided');
      const limit = request.limit === null ? null : parseLimit(request.limit.value, maxLimit);
      const ownerIds = parseOwners(request.owner_ids);
      const isOwnersOnly = ownerIds.length > 0 && request.cursor !== '';
      const page = await tournaments.listRecords(
        { tournamentId: request.tournament_id, expiry: toSeconds(request.expiry) },
        { ownerIds, limit: limit ?? (isOwnersOnly ? null : defaultRecordLimit), cursor: request.cursor },
        'client',
      );
      return toRecordList(page);
    }),

    api('ListTournamentRecordsAroundOwner', { auth: 'session' }, async (_ctx, request) => {
      if (request.tournament_id === '') throw invalidArgument('Invalid tournament ID.');
      const limit = parseLimit(request.limit?.value ?? defaultAroundLimit, maxLimit);
      const ownerId = parseOwner(request.owner_id);
      const page = await tournaments.listRecordsAround(
        { tournamentId: request.tournament_id, expiry: toSeconds(request.expiry) },
        { ownerId, limit, cursor: request.cursor },
        'client',
      );
      return toRecordList(page);
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
      const page = await tournaments.list({ ...filter, limit, cursor: request.cursor });
      return { tournaments: page.tournaments.map(toTournament), cursor: page.cursor };
    }),
  ];
}
