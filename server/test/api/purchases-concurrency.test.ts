import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callDoor, type Door, restDoor } from '../../testing/doors.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestServer, type TestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { newTransactionId, notify, StandInStores } from './purchases-support.ts';

// Many at once with the same receipt: it is new to exactly one of them.

const clients = 50;
const rounds = 10;

const stores = await StandInStores.start();
afterAll(() => stores.stop());

const doorKinds = ['REST', 'call over json', 'call over protobuf'] as const;

describe.each(doorKinds)('the same receipt many times at once, %s', (kind) => {
  let server: TestServer;
  let sql: pg.Client;
  let players: Player[];
  let doors: Door[] = [];
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  beforeAll(async () => {
    process.on('warning', warned);
    server = await startTestServer({
      config: {
        ...stores.config,
        'socket.max_message_size_bytes': 262_144,
        'database.shared_clients': 6,
        // All want the same row: the last of them waits for all others, however busy the machine is.
        'database.acquire_timeout_ms': 30_000,
      },
    });
    sql = new pg.Client(server.databaseUrl);
    await sql.connect();
    players = await Promise.all(Array.from({ length: clients }, () => signIn(server)));
    doors = await Promise.all(
      players.map(async ({ token }) => {
        if (kind === 'REST') return restDoor(server);
        return callDoor(server, token, kind === 'call over json' ? 'json' : 'protobuf');
      }),
    );
  });
  afterAll(async () => {
    await Promise.all(doors.map((door) => door.close()));
    await sql?.end();
    expect(server?.errors).toEqual([]);
    await server?.stop();
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });

  /** What all clients are answered, each for itself. */
  const all = async (method: string, message: object): Promise<Envelope[]> =>
    Promise.all(
      doors.map(async (door, index) => {
        const outcome = await door.call(method, players[index]?.authorization ?? '', message);
        expect(outcome).toMatchObject({ code: 0 });
        return outcome.response;
      }),
    );

  it(`is new to one of ${clients}, ${rounds} times`, async () => {
    for (let round = 0; round < rounds; round++) {
      const id = newTransactionId();
      const signedRequest = stores.signedByFacebook({ purchase_token: id });
      const replies = await all('ValidatePurchaseFacebookInstant', { signed_request: signedRequest });
      const found = replies.map(({ validated_purchases: [purchase] }) => purchase);
      const first = found.filter(({ seen_before }) => seen_before !== true);
      expect(first).toHaveLength(1);
      // Whoever it was new to owns it, and no two saw the same state of it.
      const { rows } = await sql.query('SELECT user_id FROM purchase WHERE transaction_id = $1', [id]);
      expect(rows).toEqual([{ user_id: first[0].user_id }]);
      expect(new Set(found.map(({ update_time }) => update_time)).size).toBe(clients);
      expect(new Set(found.map(({ create_time }) => create_time)).size).toBe(1);
    }
  });

  it('is new to one of them for each purchase in it, in whatever order receipts list them', async () => {
    const ids = Array.from({ length: 12 }, newTransactionId);
    const receipts = [ids, ids.toReversed(), [...ids.slice(5), ...ids.slice(0, 5)]].map((order) => {
      const receipt = newTransactionId();
      const items = order.map((id) => ({
        product_id: 'gems_100',
        transaction_id: id,
        original_transaction_id: id,
        purchase_date_ms: '1700000000000',
      }));
      stores.appleReceipts.set(receipt, { status: 0, environment: 'Production', receipt: { in_app: items } });
      return receipt;
    });
    const replies = await Promise.all(
      doors.map((door, index) => {
        const receipt = receipts[index % receipts.length];
        return door.call('ValidatePurchaseApple', players[index]?.authorization ?? '', { receipt });
      }),
    );
    const found: Envelope[] = replies.flatMap(({ response }) => response.validated_purchases);
    expect(found).toHaveLength(clients * ids.length);
    const first = found.filter(({ seen_before }) => seen_before !== true).map(({ transaction_id }) => transaction_id);
    expect(first.sort()).toEqual(ids.sort());
  });

  it('keeps one owner of a subscription', async () => {
    const { token, receipt } = stores.googleSubscription();
    const replies = await all('ValidateSubscriptionGoogle', { receipt: JSON.stringify(receipt) });
    const owners = new Set(replies.map(({ validated_subscription: { user_id } }) => user_id));
    expect(owners.size).toBe(1);
    const { rows } = await sql.query('SELECT user_id FROM subscription WHERE original_transaction_id = $1', [token]);
    expect(rows).toEqual([{ user_id: [...owners][0] }]);
  });

  it('is refunded for good, whoever comes first', async () => {
    const { token, receipt } = stores.googleProduct();
    stores.googleProductV2(token, { obfuscatedExternalAccountId: players[0]?.id });
    const notification = stores.googleNotification({
      voidedPurchaseNotification: { purchaseToken: token, orderId: 'x', productType: 2, refundType: 1 },
    });
    const [status] = await Promise.all([
      notify(server, 'google', notification),
      all('ValidatePurchaseGoogle', { purchase: JSON.stringify(receipt) }),
    ]);
    expect(status).toBe(200);
    const query =
      "SELECT refund_time > create_time - INTERVAL '1 minute' AS refunded FROM purchase WHERE transaction_id = $1";
    expect((await sql.query(query, [token])).rows).toEqual([{ refunded: true }]);
  });

  it('keeps nothing of what the store said of its owner, who is erased meanwhile', async () => {
    for (let round = 0; round < rounds; round++) {
      const leaver = await signIn(server);
      const { token, receipt } = stores.googleSubscription({
        externalAccountIdentifiers: { obfuscatedExternalAccountId: leaver.id },
      });
      const body = { receipt: JSON.stringify(receipt) };
      const [first = restDoor(server), ...others] = doors.slice(0, 8);
      const buy = (door: Door) => door.call('ValidateSubscriptionGoogle', leaver.authorization, body);
      expect((await buy(first)).code).toBe(0);
      const renewal = stores.googleNotification({
        subscriptionNotification: { version: '1.0', notificationType: 2, purchaseToken: token },
      });
      const bought = others.map((door) => buy(door).then(({ code }) => code));
      const told = [notify(server, 'google', renewal), notify(server, 'google', renewal)];
      await server.features.erasure.erasure.deleteAccount(leaver.id);
      // The token is dead before long; nobody is sent away by a fault of the server's.
      for (const code of await Promise.all(bought)) expect([0, 5, 16]).toContain(code);
      expect(new Set(await Promise.all(told))).toEqual(new Set([200]));
      expect(await notify(server, 'google', renewal)).toBe(200);
      const query = `SELECT user_id, raw_response, raw_notification FROM subscription WHERE original_transaction_id = $1`;
      expect((await sql.query(query, [token])).rows).toEqual([
        { user_id: '00000000-0000-0000-0000-000000000000', raw_response: {}, raw_notification: {} },
      ]);
    }
  });
});
