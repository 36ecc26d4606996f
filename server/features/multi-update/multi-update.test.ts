import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newId, nilUuid } from '../../platform/ids.ts';
import { request, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import type { ObjectWrite } from '../storage/index.ts';
import type { MultiUpdate, MultiUpdateRequest } from './index.ts';

// Cases of the spec: storage-wallet-purchases.md, sections 4 and 8.

describe('multi-update', () => {
  let node: TestNode;
  let sql: pg.Client;
  let multiUpdate: MultiUpdate;
  let collection: string;
  let [alice, bob] = ['', ''];
  beforeAll(async () => {
    node = await startTestNode();
    ({ multiUpdate } = node.app.features.multiUpdate);
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
  });
  beforeEach(async () => {
    collection = unique('c');
    [alice, bob] = [(await signIn(node)).id, (await signIn(node)).id];
  });
  afterAll(async () => {
    await sql.end();
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  const write = (key: string, more: Partial<ObjectWrite> = {}): ObjectWrite => ({
    ...{ collection, key, ownerId: alice, value: `{"key":"${key}"}`, version: '' },
    ...{ permissionRead: 1, permissionWrite: 1 },
    ...more,
  });
  const pay = (userId: string, coins: bigint) => ({ userId, changeset: { coins } });
  /** All that a multi-update can change. */
  const state = async () => {
    const users = await sql.query(
      `SELECT username, display_name, location, metadata::text, wallet::text FROM users
       WHERE id = ANY ($1) ORDER BY create_time`,
      [[alice, bob]],
    );
    const objects = await sql.query('SELECT key FROM storage WHERE collection = $1 ORDER BY key', [collection]);
    const ledger = await sql.query('SELECT 1 FROM wallet_ledger WHERE user_id = ANY ($1)', [[alice, bob]]);
    return { users: users.rows, keys: objects.rows.map(({ key }) => key), ledger: ledger.rows.length };
  };

  it('applies accounts, objects and wallets, and answers in the order of the request', async () => {
    await multiUpdate.run({ storageWrites: [write('old')] });
    const name = unique('renamed');
    const result = await multiUpdate.run({
      accountUpdates: [
        { userId: alice, username: name, displayName: 'A with spaces', metadata: '{"level": 9007199254740993}' },
        { userId: bob, location: 'here' },
      ],
      storageWrites: [write('z'), write('a', { ownerId: bob }), write('m', { ownerId: nilUuid })],
      storageDeletes: [{ collection, key: 'old', ownerId: alice, version: '' }],
      walletUpdates: [pay(bob, 5n), pay(newId(), 1n), pay(alice, 1n), pay(bob, -2n)],
      updateLedger: true,
    });
    expect(result.storageWriteAcks.map(({ key, ownerId, version }) => [key, ownerId, version.length])).toEqual([
      ['z', alice, 32],
      ['a', bob, 32],
      ['m', nilUuid, 32],
    ]);
    expect(result.walletUpdateAcks).toEqual([
      { userId: bob, previous: {}, updated: { coins: 3n } },
      { userId: alice, previous: {}, updated: { coins: 1n } },
      { userId: bob, previous: { coins: 5n }, updated: { coins: 3n } },
    ]);
    expect(await state()).toMatchObject({
      users: [
        {
          username: name,
          display_name: 'A with spaces',
          metadata: '{"level": 9007199254740993}',
          wallet: '{"coins": 1}',
        },
        { location: 'here', wallet: '{"coins": 3}' },
      ],
      keys: ['a', 'm', 'z'],
      ledger: 3,
    });
  });

  it('does nothing when asked for nothing', async () => {
    const empty = { storageWriteAcks: [], walletUpdateAcks: [] };
    expect(await multiUpdate.run({})).toEqual(empty);
    expect(await multiUpdate.run({ accountUpdates: [], walletUpdates: [], key: 'nothing' })).toEqual(empty);
    expect(await multiUpdate.run({ walletUpdates: [pay(newId(), 1n)], updateLedger: true })).toEqual(empty);
  });

  /** A request that would change everything, but for the part that fails. */
  const everything = (fault: MultiUpdateRequest): MultiUpdateRequest => ({
    accountUpdates: [{ userId: alice, displayName: 'changed' }],
    storageWrites: [write('k')],
    storageDeletes: [{ collection, key: 'there', ownerId: alice, version: '' }],
    walletUpdates: [pay(alice, 5n)],
    updateLedger: true,
    ...fault,
  });
  const version = 'f'.repeat(32);
  const rejections: [name: string, fault: () => MultiUpdateRequest, code: number, message: string][] = [
    [
      '50: a wallet that would become negative',
      () => ({ walletUpdates: [pay(alice, 5n), pay(bob, -1n)] }),
      9,
      "wallet update rejected negative value at path 'coins'",
    ],
    [
      '51: an object of another version',
      () => ({ storageWrites: [write('k'), write('l', { version })] }),
      3,
      'Storage write rejected - version check failed.',
    ],
    [
      'an object that is there already',
      () => ({ storageWrites: [write('there', { version: '*' })] }),
      3,
      'Storage write rejected - version check failed.',
    ],
    [
      'a delete of another version',
      () => ({ storageDeletes: [{ collection, key: 'there', ownerId: alice, version }] }),
      3,
      'Storage delete rejected - not found, version check failed, or permission denied.',
    ],
    [
      'an owner that does not exist',
      () => ({ storageWrites: [write('k', { ownerId: newId() })] }),
      13,
      'Error writing storage objects.',
    ],
    ['an account without changes', () => ({ accountUpdates: [{ userId: alice }] }), 3, 'No fields to update.'],
    [
      'an account with an empty username only',
      () => ({ accountUpdates: [{ userId: alice, username: '' }] }),
      3,
      'No fields to update.',
    ],
    [
      'a username with control characters',
      () => ({ accountUpdates: [{ userId: alice, username: 'a\tb' }] }),
      3,
      'Username invalid, no spaces or control characters allowed.',
    ],
    [
      'a username that is taken',
      () => ({ accountUpdates: [alice, bob].map((userId) => ({ userId, username: `both-${collection}` })) }),
      6,
      'Username is already in use.',
    ],
    [
      'metadata that is no object',
      () => ({ accountUpdates: [{ userId: alice, metadata: '[]' }] }),
      3,
      'Metadata must be a JSON object.',
    ],
    [
      'an account without an id',
      () => ({ accountUpdates: [{ userId: 'x', displayName: 'y' }] }),
      3,
      'expects a valid user id',
    ],
    ['a wallet without an id', () => ({ walletUpdates: [pay('x', 1n)] }), 3, 'expects a valid user id'],
    [
      'a language that is cleared',
      () => ({ accountUpdates: [{ userId: alice, langTag: '' }] }),
      13,
      'Error while trying to update account.',
    ],
  ];
  it.each(rejections)('changes nothing for %s', async (_name, fault, code, message) => {
    await multiUpdate.run({ storageWrites: [write('there')] });
    const before = await state();
    for (const key of [undefined, crypto.randomUUID()]) {
      await expect(multiUpdate.run({ ...everything(fault()), key })).rejects.toMatchObject({ code, message });
      expect(await state()).toEqual(before);
    }
    await multiUpdate.run(everything({}));
    expect((await state()).keys).toEqual(['k']);
  });

  it('reports the object before the wallet when both are wrong', async () => {
    const both = { storageWrites: [write('k', { version })], walletUpdates: [pay(alice, -1n)] };
    await expect(multiUpdate.run(both)).rejects.toThrow('version check failed');
  });

  it('treats accounts as server code does', async () => {
    const [{ username: old }] = (await state()).users;
    await multiUpdate.run({
      accountUpdates: [{ userId: alice, displayName: 'x', location: 'y', metadata: '{"a": 1}' }],
    });
    // '' clears, but not the username; unknown users are skipped; a name that is given up can be taken.
    const name = unique('new');
    await multiUpdate.run({
      accountUpdates: [
        { userId: alice, username: '', displayName: '' },
        { userId: newId(), displayName: 'nobody' },
        { userId: alice, username: name },
        { userId: bob, username: old },
      ],
    });
    expect((await state()).users).toMatchObject([
      { username: name, display_name: null, location: 'y', metadata: '{"a": 1}' },
      { username: old },
    ]);
  });

  it('treats objects as server code does', async () => {
    const sealed = write('sealed', { permissionWrite: 0, permissionRead: 0 });
    await multiUpdate.run({ storageWrites: [sealed] });
    await multiUpdate.run({ storageWrites: [{ ...sealed, value: '{"again":true}' }] });
    const id = { collection, key: 'sealed', ownerId: alice, version: '' };
    await multiUpdate.run({ storageDeletes: [id, { ...id, key: 'never was' }] });
    expect((await state()).keys).toEqual([]);
    // Written and deleted by the same request: gone.
    await multiUpdate.run({ storageWrites: [sealed], storageDeletes: [id] });
    expect((await state()).keys).toEqual([]);
  });

  it('answers a repeat as it did the first time, to the microsecond', async () => {
    const all = {
      accountUpdates: [{ userId: alice, displayName: 'once' }],
      storageWrites: [write('k', { version: '*' }), write('m')],
      walletUpdates: [pay(alice, 3n), pay(newId(), 1n), pay(bob, 1n)],
      updateLedger: true,
      key: crypto.randomUUID(),
    };
    const first = await multiUpdate.run(all);
    await multiUpdate.run({ accountUpdates: [{ userId: alice, displayName: 'later' }] });
    // With members in another order it is still the same request.
    const { value, key, ...rest } = all.storageWrites[0] as ObjectWrite;
    const repeat = { ...all, storageWrites: [{ ...rest, key, value }, ...all.storageWrites.slice(1)] };
    expect(await multiUpdate.run(repeat)).toEqual(first);
    expect(first.storageWriteAcks[0]?.create_time.seconds).toBeGreaterThan(0);
    expect(await state()).toMatchObject({
      users: [{ display_name: 'later', wallet: '{"coins": 3}' }, { wallet: '{"coins": 1}' }],
      ledger: 2,
    });
    for (const other of [{ storageWrites: [] }, { updateLedger: false }, { accountUpdates: [] }]) {
      await expect(multiUpdate.run({ ...all, ...other })).rejects.toMatchObject({ code: 6 });
    }
  });

  it('shows clients what it did', async () => {
    const player = await signIn(node);
    await multiUpdate.run({
      accountUpdates: [{ userId: player.id, displayName: 'Shown', metadata: '{"rank": 1}' }],
      storageWrites: [write('shown', { ownerId: player.id })],
      walletUpdates: [pay(player.id, 7n)],
    });
    const { authorization } = player;
    const account = (await request(node, 'GET', '/v2/account', { authorization })).body;
    expect(account).toMatchObject({ wallet: '{"coins": 7}', user: { display_name: 'Shown', metadata: '{"rank": 1}' } });
    const object_ids = [{ collection, key: 'shown', user_id: player.id }];
    const { body } = await request(node, 'POST', '/v2/storage', { authorization, body: { object_ids } });
    expect(body.objects).toHaveLength(1);
  });
});
