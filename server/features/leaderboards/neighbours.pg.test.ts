import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Database } from '../../store/database.ts';
import { migrateUp } from '../../store/migrate.ts';
import { sql } from '../../store/sql.ts';
import type { Queryable } from '../../store/transaction.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { quiet } from '../../testing/store.ts';
import { pageAround, readNeighbours } from './neighbours.ts';

let schema: TestSchema;
let db: Database;

beforeAll(async () => {
  schema = await createTestSchema();
  await migrateUp(schema.url);
  db = new Database({ url: schema.url }, quiet);
});
afterAll(async () => {
  await db?.close();
  await schema?.drop();
});

const insertBoard = sql('test_board', 'INSERT INTO leaderboard (id, sort_order) VALUES ($1, $2)', 'write');
const insertRecord = sql(
  'test_record',
  'INSERT INTO leaderboard_record (leaderboard_id, owner_id, score) VALUES ($1, $2, $3)',
  'write',
);

const deleteRecord = sql(
  'test_delete_record',
  'DELETE FROM leaderboard_record WHERE leaderboard_id = $1 AND owner_id = $2',
  'write',
);

/** The algorithm of the contract, section 12, with its next cursor mended: positions from 1, and what comes around. */
function expected(count: number, owner: number, limit: number): { ranks: number[]; prev: boolean; next: boolean } {
  const above = Array.from({ length: Math.min(limit, owner - 1) }, (_, i) => owner - 1 - i).reverse();
  let most = Math.floor(limit / 2);
  const isShort = above.length < most;
  if (isShort) most = limit - above.length;
  const below = Array.from({ length: Math.min(most, count - owner) }, (_, i) => owner + 1 + i);
  const all = [...above, owner, ...below];
  const start = isShort ? 0 : Math.max(0, all.length - limit);
  const ranks = all.slice(start, start + limit);
  return { ranks, prev: (ranks[0] ?? 0) > 1, next: (ranks.at(-1) ?? 0) < count };
}

it('an owner whose record goes between the two looks at an end of the board has none', async () => {
  const board = { id: 'going', descending: true };
  await db.execute(insertBoard, [board.id, 1]);
  const [first, second] = [randomUUID(), randomUUID()];
  await db.execute(insertRecord, [board.id, first, 2]);
  await db.execute(insertRecord, [board.id, second, 1]);
  let looks = 0;
  const going: Queryable = {
    async query(statement, params) {
      looks++;
      const rows = await db.query(statement, params);
      await db.execute(deleteRecord, [board.id, first]);
      return rows;
    },
    execute: (statement, params) => db.execute(statement, params),
  };
  expect(await readNeighbours(going, board, 0, first, 5)).toBeNull();
  expect(looks).toBe(2);
  expect(await readNeighbours(db, board, 0, second, 5)).toMatchObject({ above: [], below: [] });
});

it.each([true, false])('pages around each of 1 to 9 records, of each size (descending: %s)', async (descending) => {
  for (let count = 1; count <= 9; count++) {
    const board = { id: `board${count}${descending}`, descending };
    await db.execute(insertBoard, [board.id, descending ? 1 : 0]);
    const owners: string[] = Array.from({ length: count }, () => randomUUID());
    for (const [i, owner] of owners.entries()) {
      await db.execute(insertRecord, [board.id, owner, descending ? 100 - i : i]);
    }
    for (const [i, owner] of owners.entries()) {
      for (let limit = 1; limit <= 12; limit++) {
        const neighbours = await readNeighbours(db, board, 0, owner, limit);
        if (neighbours === null) throw new Error('no record');
        const { rows, shownAbove, prev, next } = pageAround(neighbours, limit);
        const ranks = rows.map((row) => owners.indexOf(row.owner_id) + 1);
        expect({ count, limit, ranks, prev, next }).toEqual({ count, limit, ...expected(count, i + 1, limit) });
        expect(ranks[shownAbove]).toBe(i + 1);
        // From where the owner's rank follows without an index.
        if (neighbours.above.length < neighbours.most) expect(neighbours.above).toHaveLength(i);
      }
    }
    expect(await readNeighbours(db, board, 0, randomUUID(), 3)).toBeNull();
  }
});
