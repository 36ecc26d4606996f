import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';

describe('friends for clients, when the database fails', () => {
  let node: TestNode;
  let sql: pg.Client;
  let player: Player;
  beforeAll(async () => {
    node = await startTestNode();
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
    player = await signIn(node);
  });
  afterAll(async () => {
    await sql.end();
    await node.stop();
  });

  const someone = '11111111-2222-4333-8444-555555555555';
  const failures = [
    ['POST', `/v2/friend?ids=${someone}`, 'Error while trying to add friends.'],
    ['DELETE', `/v2/friend?ids=${someone}`, 'Error while trying to delete friends.'],
    ['POST', `/v2/friend/block?ids=${someone}`, 'Error while trying to block friends.'],
    ['GET', '/v2/friend', 'Error while trying to list friends.'],
    ['GET', '/v2/friend?state=1', 'Error while trying to list friends.'],
    ['GET', '/v2/friend/friends', 'Error while trying to list friends.'],
  ] as const;

  it.each([
    ['user_edge', failures],
    [
      'users',
      failures.slice(0, 3).map(([verb, path, text]) => [verb, path.replace('ids', 'usernames'), text] as const),
    ],
  ] as const)('are refused in the words of the contract: without table %s', async (table, calls) => {
    await sql.query(`ALTER TABLE ${table} RENAME TO away`);
    try {
      for (const [verb, path, message] of calls) {
        const { status, body } = await request(node, verb, path, player);
        expect({ status, body }, path).toEqual({ status: 500, body: { code: 13, message } });
      }
    } finally {
      await sql.query(`ALTER TABLE away RENAME TO ${table}`);
    }
  });
});
