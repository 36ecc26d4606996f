import { expect, test } from 'vitest';
import { connectionConfig, databaseName, otherDatabase, redactUrl } from './connection-config.ts';

const settings = {
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 5_000,
  idleTransactionMs: 9_000,
  applicationName: 'app',
};

function queryOf(url: string): URLSearchParams {
  return new URLSearchParams(connectionConfig({ ...settings, url }).connectionString?.split('?')[1]);
}

test('our settings join those of the URL, between defaults and musts', () => {
  const query = queryOf('postgresql://u:p%3F@h:1/d?sslmode=disable&options=-c%20search_path%3Dtest_x');
  expect(query.get('sslmode')).toBe('disable');
  expect(query.get('application_name')).toBe('app');
  expect(query.get('options')).toBe(
    '-c statement_timeout=5000 -c idle_in_transaction_session_timeout=9000 -c search_path=test_x -c TimeZone=UTC -c DateStyle=ISO',
  );
  expect(queryOf('postgresql://h/d?application_name=mine').get('application_name')).toBe('mine');
});

test('names and other databases', () => {
  expect(databaseName('postgresql://u:p@h:1/some%20game?x=1')).toBe('some game');
  expect(databaseName('postgresql://u:p@h:1')).toBeUndefined();
  expect(otherDatabase('postgresql://u:p@h:1/d?sslmode=disable&options=-c%20a%3Db', 'postgres')).toBe(
    'postgresql://u:p@h:1/postgres?sslmode=disable',
  );
  expect(otherDatabase('postgresql://u:p@h:1', 'a b')).toBe('postgresql://u:p@h:1/a%20b?');
});

test('passwords do not get into texts', () => {
  expect(redactUrl('postgresql://user:se@cret@h:1/d?password=x&sslmode=disable')).toBe(
    'postgresql://user:***@h:1/d?sslmode=disable',
  );
});
