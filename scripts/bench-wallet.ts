// Prints what changes of wallets cost: npx tsx scripts/bench-wallet.ts [--users 1000] and the options of bench-stage.ts.
// CPU time is this process's, and that of the database's backends where /proc can be read.
import { randomUUID } from 'node:crypto';
import { any, openStage } from './bench-stage.ts';

const { app, sql, bench, close, numbers } = await openStage({ users: 1000 });
const { wallets } = app.features.wallet;
const { multiUpdate } = app.features.multiUpdate;

const users = Array.from({ length: numbers.users }, () => randomUUID());
await sql.query('INSERT INTO users (id, username, wallet) SELECT id, id::text, $2 FROM unnest($1::uuid[]) AS id', [
  users,
  '{"coins": 1000000000, "gems": 5}',
]);

const metadata = '{"reason": "bench"}';
const object = (ownerId: string) => ({
  ...{ collection: 'bench', key: 'object', ownerId, value: `{"n":${Math.random()}}`, version: '' },
  ...{ permissionRead: 1, permissionWrite: 1 },
});
const transfer = (key?: string) => {
  const [from, to] = [any(users), any(users)];
  return multiUpdate.run({
    storageWrites: [object(from)],
    walletUpdates: [
      { userId: from, changeset: { coins: -1n }, metadata },
      { userId: to, changeset: { coins: 1n }, metadata },
    ],
    updateLedger: true,
    key,
  });
};
const change = () => ({ userId: any(users), changeset: { coins: 1n }, metadata });

await bench('walletUpdate', () => wallets.update(change()));
await bench('walletUpdate with ledger', () => wallets.update(change(), { updateLedger: true }));
await bench('walletUpdate with ledger and key', () =>
  wallets.update(change(), { updateLedger: true, key: randomUUID() }),
);
await bench('multiUpdate: one object, two wallets, ledger', () => transfer());
await bench('multiUpdate: the same with a key', () => transfer(randomUUID()));

await close();
