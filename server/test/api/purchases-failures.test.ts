import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Player, request, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import type { Fault } from '../../testing/stand-in.ts';
import { hosts, newTransactionId, StandInStores } from './purchases-support.ts';

// Stores that do not answer as they should: whoever waits for them is told so, soon, and nothing is kept.

const stores = await StandInStores.start();
afterAll(() => stores.stop());

interface Validation {
  readonly path: string;
  readonly body: object;
  readonly id: string;
}

/** A validation that needs the host, and would do otherwise. */
const validations: readonly (readonly [store: string, host: string, make: () => Validation])[] = [
  ['Apple', hosts.apple, legacy],
  ['Apple', hosts.appleSandbox, () => legacy(true)],
  ['Google', hosts.googleAccounts, google],
  ['Google', hosts.googlePlay, google],
  ['Huawei', hosts.huaweiLogin, huawei],
  ['Huawei', hosts.huawei, huawei],
  ['Samsung', hosts.samsung, samsung],
];

function legacy(isSandbox = false): Validation {
  const [receipt, id] = [newTransactionId(), newTransactionId()];
  const item = { product_id: 'gems_100', transaction_id: id, purchase_date_ms: '1700000000000' };
  const site = isSandbox ? stores.appleSandboxReceipts : stores.appleReceipts;
  site.set(receipt, { status: 0, environment: 'Sandbox', receipt: { in_app: [item] } });
  if (isSandbox) stores.appleReceipts.set(receipt, { status: 21007 });
  return { path: 'apple', body: { receipt }, id };
}

function google(): Validation {
  const { token, receipt } = stores.googleProduct();
  return { path: 'google', body: { purchase: JSON.stringify(receipt) }, id: token };
}

function huawei(): Validation {
  const { orderId, ...body } = stores.huaweiOrder();
  return { path: 'huawei', body, id: orderId };
}

function samsung(): Validation {
  const id = stores.samsungPurchase();
  return { path: 'samsung', body: { purchase_id: id }, id };
}

describe.each(serverKinds)('stores that fail on %s', (kind) => {
  let server: TestServer;
  /** Waits no longer than a moment. */
  let hasty: TestServer;
  let player: Player;
  beforeAll(async () => {
    const config = { ...stores.config, 'iap.timeout_ms': 60_000, 'outbound.breaker_failures': 0 };
    server = await startTestServer({ kind, config });
    const { databaseUrl } = server;
    hasty = await startTestServer({ kind, databaseUrl, config: { ...config, 'iap.timeout_ms': 300 } });
    player = await signIn(server);
  });
  afterEach(() => stores.web.heal());
  afterAll(async () => {
    expect([server, hasty].flatMap((each) => each?.errors)).toEqual([]);
    await hasty?.stop();
    await server?.stop();
  });

  const validate = ({ path, body }: Validation, on = server) =>
    request(on, 'POST', `/v2/iap/purchase/${path}`, { authorization: player.authorization, body });

  describe.each(validations)('%s at %s', (store, host, make) => {
    const away = `${store} IAP verification is currently unavailable. Try again later.`;
    const refused = store === 'Samsung' ? 'Samsung IAP: status ' : `non-200 response from ${store} service, status=`;
    const noJson = store === 'Samsung' ? 'Samsung IAP: response is' : `response from ${store} service is`;

    test.each<[fault: Fault, status: number, code: number, message: string]>([
      ['silent', 503, 14, away],
      ['slow', 503, 14, away],
      ['drop', 503, 14, away],
      [500, 500, 2, `${refused}500`],
      [503, 500, 2, `${refused}503`],
      [404, 500, 2, `${refused}404`],
      ['redirect', 500, 2, `${refused}302`],
      ['garbage', 500, 2, `${noJson} no JSON object`],
      ['huge', 500, 2, `response from ${store} service is too large`],
    ])('%s', async (fault, status, code, message) => {
      // A token that is kept would do without the host that is to fail.
      stores.googleToken = { ...stores.googleToken, expires_in: 0 };
      stores.huaweiToken = { ...stores.huaweiToken, expires_in: 0 };
      const validation = make();
      stores.web.fault(host, fault);
      const before = stores.web.calls(host);
      const isEndless = fault === 'silent' || fault === 'slow';
      const reply = await validate(validation, isEndless ? hasty : server);
      expect([reply.status, reply.body]).toEqual([status, { code, message: expect.stringMatching(escaped(message)) }]);
      if (!isEndless) expect(stores.web.calls(host)).toBe(before + 1);
      const { purchases } = server.features.purchases;
      expect(await purchases.get(validation.id)).toBeNull();
      stores.web.heal();
      expect((await validate(validation)).status).toBe(200);
      expect(await purchases.get(validation.id)).toMatchObject({ userId: player.id, seenBefore: false });
    });
  });

  test('what a store complains of is passed on, up to a point', async () => {
    const page = stores.web.page(`${hosts.apple}/verifyReceipt`);
    stores.web.serve(`${hosts.apple}/verifyReceipt`, () => ({ status: 400, bytes: Buffer.from('x'.repeat(100_000)) }));
    const { body } = await validate(legacy());
    expect(body.message).toBe(`non-200 response from Apple service, status=400, payload=${'x'.repeat(1024)}`);
    stores.web.serve(`${hosts.apple}/verifyReceipt`, page);
  });
});

const escaped = (text: string): RegExp => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`);

describe.each(serverKinds)('stores and other third parties on %s', (kind) => {
  test('have times of their own', async () => {
    const config = { ...stores.config, 'outbound.timeout_ms': 1, 'iap.timeout_ms': 60_000 };
    const server = await startTestServer({ kind, config });
    const player = await signIn(server);
    for (const [, , make] of validations) {
      const { path, body } = make();
      const { authorization } = player;
      expect((await request(server, 'POST', `/v2/iap/purchase/${path}`, { authorization, body })).status).toBe(200);
    }
    await server.stop();
  });

  test('are left alone while they fail, each for itself', async () => {
    const config = { ...stores.config, 'outbound.breaker_failures': 3, 'outbound.breaker_open_ms': 60_000 };
    const server = await startTestServer({ kind, config });
    const { id } = await signIn(server);
    const purchases = server.nodes[0]?.app.features.purchases.purchases;
    stores.web.fault(hosts.samsung, 'drop');
    const before = stores.web.calls(hosts.samsung);
    const purchaseId = stores.samsungPurchase();
    for (let time = 0; time < 10; time++) {
      await expect(purchases?.validateSamsung(id, purchaseId)).rejects.toMatchObject({
        code: 14,
        message: 'Samsung IAP verification is currently unavailable. Try again later.',
      });
    }
    expect(stores.web.calls(hosts.samsung)).toBe(before + 3);
    const { receipt } = stores.googleProduct();
    expect(await purchases?.validateGoogle(id, JSON.stringify(receipt))).toHaveLength(1);
    stores.web.heal();
    await server.stop();
  });
});
