import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestSchema {
  /** Connections to this URL see the schema, and only it. */
  readonly url: string;
  readonly name: string;
  /** Removes the schema with all that is in it. */
  drop(): Promise<void>;
}

/** An empty schema in the database of the test run. */
export async function createTestSchema(): Promise<TestSchema> {
  const base = process.env['MUSTER_TEST_DATABASE_URL'];
  if (!base) throw new Error('MUSTER_TEST_DATABASE_URL is not set: tests run through vitest, which sets it');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(base, `CREATE SCHEMA ${name}`);
  const url = `${base}${base.includes('?') ? '&' : '?'}options=-c%20search_path%3D${name}`;
  return { url, name, drop: () => onServer(base, `DROP SCHEMA IF EXISTS ${name} CASCADE`) };
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
