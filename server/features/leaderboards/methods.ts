import type Long from 'long';
import { invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { api, type Method } from '../../wire/method.ts';
import type { Operator } from './board.ts';
import type { LeaderboardRecords } from './leaderboard-records.ts';
import { maxAround } from './record-queries.ts';
import { toRecord, toRecordList } from './wire.ts';
import { badMetadata } from './wording.ts';

const maxListLimit = 1000;
const defaultLimit = 1;
/** Owners whose records one call may ask for. */
const maxOwners = 10_000;

export function leaderboardMethods(records: LeaderboardRecords): Method[] {
  return [
    api('WriteLeaderboardRecord', { auth: 'session' }, async ({ user }, { leaderboard_id: id, record }) => {
      requireId(id);
      if (record === null) throw invalidArgument('Invalid input, record score value is required.');
      const { metadata } = record;
      if (metadata !== '' && !isJsonObject(metadata)) throw invalidArgument(badMetadata.client);
      const { board, expiry, row, rank } = await records.write(
        id,
        {
          ownerId: user.id,
          username: user.username,
          score: toBigInt(record.score),
          subscore: toBigInt(record.subscore),
          metadata: metadata === '' ? null : metadata,
          operator: toOperator(record.operator),
        },
        'client',
      );
      return toRecord(board.id, expiry, row, rank);
    }),

    api('ListLeaderboardRecords', { auth: 'session' }, async (_, request) => {
      const { leaderboard_id: id, cursor } = request;
      requireId(id);
      const limit = request.limit === null ? null : parseLimit(request.limit.value, maxListLimit);
      const ownerIds = parseOwners(request.owner_ids);
      const page = await records.list(
        id,
        {
          ownerIds,
          // Whoever asks for owners only gets no page, unless a cursor or a limit says so (spec: section 10.1).
          limit: limit ?? (ownerIds.length === 0 || cursor !== '' ? defaultLimit : null),
          cursor,
          expiry: toSeconds(request.expiry),
        },
        'client',
      );
      return toRecordList(page);
    }),

    api('ListLeaderboardRecordsAroundOwner', { auth: 'session' }, async (_, request) => {
      const { leaderboard_id: id, cursor } = request;
      requireId(id);
      const limit = parseLimit(request.limit?.value ?? defaultLimit, maxAround);
      const ownerId = parseOwner(request.owner_id);
      const page = await records.around(id, { ownerId, limit, cursor, expiry: toSeconds(request.expiry) }, 'client');
      return toRecordList(page);
    }),

    api('DeleteLeaderboardRecord', { auth: 'session' }, async ({ user }, { leaderboard_id: id }) => {
      requireId(id);
      await records.delete(id, user.id, 'client');
      return {};
    }),
  ];
}

function requireId(id: string): void {
  if (id === '') throw invalidArgument('Invalid leaderboard ID.');
}

/** An operator of the wire as the table has it; null for none. Throws INVALID_ARGUMENT for a number that is none. */
export function toOperator(operator: number): Operator | null {
  if (operator === 0) return null;
  if (operator < 0 || operator > 4) throw invalidArgument('Invalid operator.');
  return (operator - 1) as Operator;
}

/** Throws INVALID_ARGUMENT outside of 1 to `max`. */
export function parseLimit(limit: number, max: number): number {
  if (limit < 1 || limit > max) throw invalidArgument(`Invalid limit - limit must be between 1 and ${max}.`);
  return limit;
}

/** Canonical UUIDs, each once. */
export function parseOwners(texts: readonly string[]): string[] {
  if (texts.length > maxOwners) throw invalidArgument(`Invalid owner IDs - at most ${maxOwners} may be given.`);
  const ids = new Set<string>();
  for (const text of texts) {
    const id = parseUuid(text);
    if (id === null) throw invalidArgument('One or more owner IDs are invalid.');
    ids.add(id);
  }
  return [...ids];
}

/** The owner around whom records are listed. */
export function parseOwner(text: string): string {
  if (text === '') throw invalidArgument('Owner ID must be provided for a haystack query.');
  const id = parseUuid(text);
  if (id === null) throw invalidArgument('Invalid owner ID provided.');
  return id;
}

/** An expiry of a request; what does not fit a number is none that records have. */
export function toSeconds(value: { value: Long } | null): number {
  return value === null ? 0 : value.value.toNumber();
}

export function toBigInt(value: Long): bigint {
  return (BigInt(value.high) << 32n) | BigInt(value.low >>> 0);
}
