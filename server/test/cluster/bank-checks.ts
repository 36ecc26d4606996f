import type pg from 'pg';
import type { Transfer } from './bank-clients.ts';

/** All coins there are, in one snapshot (reliability anchor W1). */
export async function totalOfWallets(sql: pg.Client): Promise<number> {
  const { rows } = await sql.query<{ total: string }>(`SELECT sum((wallet ->> 'coins')::numeric) AS total FROM users`);
  return Number(rows[0]?.total);
}

interface LedgerRow {
  readonly user_id: string;
  readonly key: string;
  readonly coins: string;
}

/** What is wrong with wallets, ledger and objects, given what the clients know (reliability anchors W1 to W3). */
export async function violations(
  sql: pg.Client,
  history: readonly Transfer[],
  { accounts, opening }: { accounts: readonly string[]; opening: number },
): Promise<string[]> {
  const found: string[] = [];
  const total = await totalOfWallets(sql);
  if (total !== accounts.length * opening) found.push(`W1: all wallets hold ${total}`);

  const { rows: unbalanced } = await sql.query<{ id: string; wallet: string }>(
    `SELECT u.id, u.wallet::text FROM users u
     LEFT JOIN (SELECT user_id, sum((changeset ->> 'coins')::numeric) AS change FROM wallet_ledger GROUP BY user_id) l
       ON l.user_id = u.id
     WHERE u.id = ANY ($1) AND ((u.wallet ->> 'coins')::numeric <> $2 + COALESCE(l.change, 0)
       OR (u.wallet ->> 'coins')::numeric < 0)`,
    [accounts, opening],
  );
  for (const { id, wallet } of unbalanced) found.push(`W2: ${id} has ${wallet}, its ledger says otherwise`);

  const { rows: ledger } = await sql.query<LedgerRow>(
    `SELECT user_id, metadata ->> 'key' AS key, changeset ->> 'coins' AS coins FROM wallet_ledger`,
  );
  const { rows: objects } = await sql.query<{ key: string }>(`SELECT key FROM storage WHERE collection = 'bank'`);
  found.push(...checkHistory(history, ledger, new Set(objects.map(({ key }) => key))));
  return found;
}

function checkHistory(
  history: readonly Transfer[],
  ledger: readonly LedgerRow[],
  objects: ReadonlySet<string>,
): string[] {
  const found: string[] = [];
  const byKey = new Map<string, LedgerRow[]>();
  for (const row of ledger) byKey.set(row.key, [...(byKey.get(row.key) ?? []), row]);
  for (const { key, from, to, coins, withObject, outcome } of history) {
    const rows = (byKey.get(key) ?? []).map(({ user_id, coins: change }) => `${user_id} ${change}`).sort();
    byKey.delete(key);
    const once = [`${from} ${-coins}`, `${to} ${coins}`].sort();
    const happened = rows.join() === once.join();
    if (rows.length > 0 && !happened) found.push(`W3: ${key} is in the ledger as ${rows.join(', ')}`);
    if (outcome === 'ok' && rows.length === 0) found.push(`W3: ${key} was acknowledged and did not happen`);
    if (outcome === 'failed' && rows.length > 0) found.push(`W3: ${key} was refused and happened`);
    if (outcome === 'running') found.push(`${key} never ended`);
    if (objects.has(key) !== (happened && withObject)) found.push(`${key} and its object do not agree`);
  }
  for (const key of byKey.keys()) found.push(`W3: nobody asked for ${key}`);
  return found;
}
