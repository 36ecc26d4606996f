import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateUp } from '../../store/migrate.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import {
  adminsOf,
  allGroupsOf,
  countSuperadmins,
  deleteBans,
  deleteEdges,
  deleteEdgesBackTo,
  deleteEdgesOf,
  findMember,
  firstMembers,
  groupsAround,
  groupsById,
  groupsByName,
  groupsBySize,
  groupsByUpdate,
  groupsEndingWith,
  groupsInLanguage,
  groupsInLanguageBySize,
  groupsInStateBySize,
  lockGroup,
  lockGroupsOf,
  membersFrom,
  membershipsFrom,
  shareUsers,
  statesOf,
  uncountMember,
  updateEdges,
} from './queries.ts';

// Every statement finds its rows by an index, with 20,000 groups, one of which has 10,000 members, and with plans that
// know the parameters and plans that do not. MUSTER_TEST_PLANS=1 prints them.

let schema: TestSchema;
let client: pg.Client;
let groupId: string;
let userId: string;
let otherId: string;

beforeAll(async () => {
  schema = await createTestSchema();
  await migrateUp(schema.url);
  client = new pg.Client(schema.url);
  await client.connect();
  await client.query(`
    INSERT INTO users (id, username) SELECT id, id::text FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 20000)) AS n;
    INSERT INTO groups (id, creator_id, name, lang_tag, state, edge_count, max_count, update_time)
      SELECT gen_random_uuid(), gen_random_uuid(), md5(n::text), (ARRAY['en', 'de', 'fr'])[1 + n % 3], n % 2, 1 + n % 7, 20000,
        now() - n * INTERVAL '1 minute'
      FROM generate_series(1, 20000) AS n;
    CREATE TEMP TABLE g AS SELECT id, row_number() OVER () AS n FROM groups;
    CREATE TEMP TABLE u AS SELECT id, row_number() OVER () AS n FROM users WHERE username <> '';
    CREATE TEMP TABLE pairs AS SELECT group_id, user_id, row_number() OVER () AS place FROM (
      SELECT g.id AS group_id, u.id AS user_id FROM g, u WHERE g.n = 1 AND u.n <= 10000
      UNION SELECT g.id, u.id FROM g JOIN u ON u.n = g.n
      UNION SELECT g.id, u.id FROM g JOIN u ON u.n = 1 + g.n * 7 % 20000
    ) AS p;
    INSERT INTO group_edge (source_id, destination_id, state, position)
      SELECT group_id, user_id, LEAST(place % 100, 2), place FROM pairs UNION ALL
      SELECT user_id, group_id, LEAST(place % 100, 2), place FROM pairs;
    ANALYZE users, groups, group_edge;
  `);
  const { rows } = await client.query<{ group_id: string; user_id: string }>(
    `SELECT group_id, max(user_id::text)::uuid AS user_id FROM pairs GROUP BY group_id HAVING count(*) > 1000`,
  );
  groupId = rows[0]?.group_id ?? '';
  userId = rows[0]?.user_id ?? '';
  otherId = (await client.query<{ id: string }>('SELECT min(id::text) AS id FROM groups')).rows[0]?.id ?? '';
});
afterAll(async () => {
  await client?.end();
  await schema?.drop();
});

/** The values of a statement, as SQL has them. */
const literals = (params: readonly Param[]): string =>
  params
    .map((param) => {
      if (!Array.isArray(param)) return typeof param === 'number' ? String(param) : pg.escapeLiteral(String(param));
      return pg.escapeLiteral(`{${param.join(',')}}`);
    })
    .join(', ');

async function planOf(statement: Statement<unknown>, params: readonly Param[], mode: string): Promise<string> {
  await client.query(`SET plan_cache_mode = ${mode}`);
  await client.query(`PREPARE plan AS ${statement.text}`);
  try {
    const { rows } = await client.query(
      `EXPLAIN (COSTS OFF) EXECUTE plan${params.length > 0 ? `(${literals(params)})` : ''}`,
    );
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await client.query('DEALLOCATE plan');
  }
}

const zero = '00000000-0000-0000-0000-000000000000';
const cases: [Statement<unknown>, () => Param[]][] = [
  [shareUsers, () => [[userId]]],
  [lockGroup, () => [groupId]],
  [statesOf, () => [groupId, [userId, otherId]]],
  [countSuperadmins, () => [groupId]],
  [firstMembers, () => [groupId]],
  [adminsOf, () => [groupId, 1000]],
  [findMember, () => [groupId, userId]],
  [
    deleteEdges,
    () => [
      [groupId, userId],
      [userId, groupId],
    ],
  ],
  [
    updateEdges,
    () => [
      [groupId, userId],
      [userId, groupId],
      [1, 1],
    ],
  ],
  [deleteEdgesOf, () => [[userId]]],
  [deleteBans, () => [userId]],
  [lockGroupsOf, () => [userId]],
  [groupsEndingWith, () => [userId]],
  [uncountMember, () => [userId]],
  [allGroupsOf, () => [userId]],
  [deleteEdgesBackTo, () => [[otherId]]],
  [groupsById, () => [[groupId, otherId]]],
  [groupsAround, () => [groupId, 100]],
  [groupsByName, () => ['a%', '', 101]],
  [groupsByUpdate, () => [[0, 1], '-infinity', 0, zero, 101]],
  [groupsByUpdate, () => [[0], '2024-01-01', 3, otherId, 101]],
  [groupsInLanguage, () => ['de', 3, otherId, 101]],
  [groupsInLanguageBySize, () => [[0, 1], 'de', 5, 4, otherId, 101]],
  [groupsBySize, () => [5, 4, 'infinity', otherId, 101]],
  [groupsInStateBySize, () => [[0], 5, 4, 'en', otherId, 101]],
  [membersFrom, () => [groupId, 0, '0', 3, 101]],
  [membersFrom, () => [groupId, 2, '5000', 3, 101]],
  [membershipsFrom, () => [userId, 2, '0', 2, 101]],
];

describe.each(['force_custom_plan', 'force_generic_plan'])('with %s', (mode) => {
  it.each(cases.map(([statement, params], n) => [`${statement.name} (${n})`, statement, params] as const))(
    '%s scans no table',
    async (name, statement, params) => {
      const plan = await planOf(statement, params(), mode);
      if (process.env['MUSTER_TEST_PLANS'] !== undefined) console.log(`${name} ${mode}\n${plan}\n`);
      expect(plan).toMatch(/Index (Only )?Scan|Bitmap Index Scan/);
      expect(plan).not.toMatch(/Seq Scan/);
    },
  );

  it('looks single members of a large group up by both ends of the edge', async () => {
    expect(await planOf(statesOf, [groupId, [userId, otherId]], mode)).toMatch(
      /Index Cond: \(\(source_id = .*\) AND \(destination_id = u.id\)\)/,
    );
  });
});
