import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConfigOverrides } from '../../platform/config.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type HttpReply, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { waitFor } from '../../testing/wait.ts';

const tryLater = { code: 8, message: 'Try again later.' };
const password = 'the right one';
const from = (address: string) => ({ 'x-forwarded-for': address });

/** What studios may set. */
const strict = {
  'limits.login_account_failures': 5,
  'limits.login_account_lock_sec': 600,
  'limits.login_address_failures': 10,
};

let addresses = 0;
/** One that no other test has used. */
const newAddress = (): string => `10.0.${++addresses >> 8}.${addresses & 255}`;

describe.skipIf(!redisAvailable)('limits of two nodes on one Redis', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let nodes: [TestNode, TestNode];

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
  });
  afterAll(async () => {
    await Promise.all([schema.drop(), redis.stop()]);
  });

  const start = async (config: ConfigOverrides): Promise<void> => {
    const [one, two] = ['one', 'two'].map((name) =>
      startTestNode({ databaseUrl: schema.url, config: { name, 'redis.url': redis.url, ...config } }),
    );
    nodes = [await (one as Promise<TestNode>), await (two as Promise<TestNode>)];
  };
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
    // Where Redis was away, a node that stops may not be done yet with looking at what it missed, and says so.
    const errors = nodes.flatMap((node) => node.errors.filter((line) => !line.includes('bus gap listener failed')));
    expect(errors).toEqual([]);
  };

  interface Guess {
    readonly email?: string;
    readonly username?: string;
    readonly password?: string;
    readonly create?: boolean;
    readonly address?: string;
  }
  const guess = (node: TestNode, { username, create, address = newAddress(), ...account }: Guess) => {
    const query = new URLSearchParams({
      ...(username === undefined ? {} : { username }),
      ...(create === undefined ? {} : { create: String(create) }),
    });
    return request(node, 'POST', `/v2/account/authenticate/email?${query}`, {
      authorization: serverKeyAuth,
      headers: from(address),
      body: { password: 'a wrong one', ...account },
    });
  };
  const signUp = async (): Promise<{ email: string; username: string }> => {
    const [email, username] = [`${unique('user')}@example.com`, unique('name')];
    expect((await guess(nodes[0], { email, username, password })).status).toBe(200);
    return { email, username };
  };
  /** The statuses of so many requests, one after the other, in turn on both nodes. */
  const inTurn = async (count: number, call: (node: TestNode) => Promise<HttpReply>): Promise<number[]> => {
    const statuses: number[] = [];
    for (let i = 0; i < count; i++) statuses.push((await call(nodes[i % 2] as TestNode)).status);
    return statuses;
  };
  const expectLocked = async (call: (node: TestNode) => Promise<HttpReply>): Promise<void> => {
    for (const node of nodes) {
      const { status, body } = await call(node);
      expect([status, body]).toEqual([429, tryLater]);
    }
  };

  /** Until both nodes count in Redis (again). */
  const untilShared = async (): Promise<void> => {
    for (const [here, there] of [nodes, nodes.toReversed()] as [TestNode, TestNode][]) {
      await waitFor('a lock of one node to hold on the other', async () => {
        const nobody = { username: unique('nobody') };
        for (let i = 0; i < 5; i++) await guess(here, nobody);
        return (await guess(there, nobody)).status === 429;
      });
    }
  };

  describe('on password guesses', () => {
    beforeAll(() => start(strict));
    afterAll(stop);

    it('five wrong ones lock an account on both nodes, for the right one too', async () => {
      const { email, username } = await signUp();
      const other = await signUp();
      expect(await inTurn(5, (node) => guess(node, { email }))).toEqual(Array(5).fill(401));
      await expectLocked((node) => guess(node, { email }));
      await expectLocked((node) => guess(node, { email, password }));
      await expectLocked((node) => guess(node, { username, password }));
      expect(await inTurn(2, (node) => guess(node, { email: other.email, password }))).toEqual([200, 200]);
    });

    it('count by address and by username as one account', async () => {
      const { email, username } = await signUp();
      expect(await inTurn(5, (node) => guess(node, node === nodes[0] ? { email } : { username }))).toEqual(
        Array(5).fill(401),
      );
      await expectLocked((node) => guess(node, { email: email.toUpperCase(), password }));
    });

    it('are forgiven by the right one, on whichever node', async () => {
      const { email } = await signUp();
      for (let round = 0; round < 3; round++) {
        expect(await inTurn(4, (node) => guess(node, { email }))).toEqual(Array(4).fill(401));
        expect((await guess(nodes[round % 2] as TestNode, { email, password })).status).toBe(200);
      }
    });

    it.each([
      ['address', () => ({ email: `${unique('nobody')}@example.com`, create: false })],
      ['username', () => ({ username: unique('nobody') })],
    ])('lock an unknown %s like a known one', async (_, unknown) => {
      const nobody = unknown();
      expect(await inTurn(5, (node) => guess(node, nobody))).toEqual(Array(5).fill(404));
      await expectLocked((node) => guess(node, nobody));
      await expectLocked((node) => guess(node, { ...nobody, create: true }));
      expect((await guess(nodes[0], unknown())).status).toBe(404);
    });

    it('lock the client address they come from, whatever the accounts', async () => {
      const address = newAddress();
      const [known, ...others] = [await signUp(), await signUp(), await signUp()];
      const guesses = [...others.map(({ email }) => ({ email })), { username: unique('nobody') }];
      let turn = 0;
      const statuses = await inTurn(10, (node) => guess(node, { ...guesses[turn++ % 3], address }));
      expect(statuses.filter((status) => status === 401 || status === 404)).toHaveLength(10);
      await expectLocked((node) => guess(node, { email: known?.email ?? '', password, address }));
      await expectLocked((node) => guess(node, { email: `${unique('new')}@example.com`, password, address }));
      expect((await guess(nodes[0], { email: known?.email ?? '', password })).status).toBe(200);
    });

    it('do not get past the limit by coming at once', async () => {
      const { email } = await signUp();
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, i) => guess(nodes[i % 2] as TestNode, { email, address: `198.51.100.${i}` })),
      );
      const statuses = replies.map(({ status }) => status);
      expect(statuses.filter((status) => status === 401)).toHaveLength(5);
      expect(statuses.filter((status) => status === 429)).toHaveLength(95);
    });
  });

  describe('on password guesses, for a while', () => {
    const lockSec = 3;
    beforeAll(() => start({ ...strict, 'limits.login_account_lock_sec': lockSec, 'limits.login_address_lock_sec': 1 }));
    afterAll(stop);
    const welcome = async (call: () => Promise<HttpReply>): Promise<void> => {
      await waitFor('the lock to end', async () => (await call()).status === 200, lockSec * 1000 + 5000);
    };

    it('an account is open again after the lock, and counting begins anew', async () => {
      const { email } = await signUp();
      await inTurn(5, (node) => guess(node, { email }));
      const lockedAt = performance.now();
      await expectLocked((node) => guess(node, { email, password }));
      await welcome(() => guess(nodes[1], { email, password }));
      expect(performance.now() - lockedAt).toBeGreaterThan(lockSec * 1000 - 1000);
      expect(await inTurn(4, (node) => guess(node, { email }))).toEqual(Array(4).fill(401));
      expect((await guess(nodes[0], { email, password })).status).toBe(200);
    });

    it('an address is open again after the lock', async () => {
      const address = newAddress();
      const { email } = await signUp();
      await inTurn(10, (node) => guess(node, { username: unique('nobody'), address }));
      await welcome(() => guess(nodes[1], { email, password, address }));
      expect(await inTurn(4, (node) => guess(node, { email, address }))).toEqual(Array(4).fill(401));
    });
  });

  describe('on guesses while Redis is away', () => {
    beforeAll(() => start({ 'limits.login_account_failures': 5, 'limits.login_account_lock_sec': 60 }));
    beforeEach(untilShared);
    afterEach(async () => {
      redis.resume();
      await redis.restart();
    });
    afterAll(stop);

    it.each(['dead', 'silent'])('sign-ins work at once, and each node locks for itself: %s', async (state) => {
      const { email } = await signUp();
      const other = await signUp();
      if (state === 'dead') await redis.kill9();
      else redis.pause();
      for (const node of nodes) {
        const startedAt = performance.now();
        expect((await guess(node, { email, password })).status).toBe(200);
        expect(performance.now() - startedAt).toBeLessThan(1000);
      }
      for (const node of nodes) {
        const statuses: number[] = [];
        for (let i = 0; i < 6; i++) statuses.push((await guess(node, { email })).status);
        expect(statuses).toEqual([...Array(5).fill(401), 429]);
        expect((await guess(node, { email, password })).body).toEqual(tryLater);
        expect((await guess(node, { email: other.email, password })).status).toBe(200);
      }
    });
  });

  describe('on calls', () => {
    beforeAll(() =>
      start({
        'limits.login_account_failures': 5,
        'limits.user_calls_per_sec': 1,
        'limits.user_calls_burst': 30,
        'limits.address_calls_per_sec': 20,
        'limits.address_calls_burst': 400,
      }),
    );
    afterAll(stop);

    /** How many of so many calls passed, in turn on both nodes, and how long that took in seconds. */
    const passing = async (count: number, call: (node: TestNode) => Promise<HttpReply>, atOnce = 1) => {
      const startedAt = performance.now();
      let passed = 0;
      for (let sent = 0; sent < count; sent += atOnce) {
        const replies = await Promise.all(
          Array.from({ length: atOnce }, (_, i) => call(nodes[(sent + i) % 2] as TestNode)),
        );
        passed += replies.filter(({ status }) => status !== 429).length;
      }
      return { passed, seconds: (performance.now() - startedAt) / 1000 };
    };

    it('a user has one budget, and a little more', async () => {
      const { authorization } = await signIn(nodes[0]);
      const call = (node: TestNode) => request(node, 'GET', '/v2/user', { authorization, headers: from(newAddress()) });
      const { passed, seconds } = await passing(120, call);
      expect(passed).toBeGreaterThanOrEqual(30);
      // The free shares of both nodes and a call or two that told them of the end; two budgets would be 60.
      expect(passed).toBeLessThanOrEqual(30 + seconds * (1 + 2 / 16) + 10);
      const body = (await call(nodes[0])).body;
      expect(body).toEqual({ code: 8, message: 'Too many calls for this user.' });
    });

    it('an address has one budget, and a little more', async () => {
      const headers = from(newAddress());
      const call = (node: TestNode) => request(node, 'GET', '/v2/account', { headers });
      const { passed, seconds } = await passing(1200, call, 4);
      expect(passed).toBeGreaterThanOrEqual(400);
      expect(passed).toBeLessThanOrEqual(400 + seconds * 20 * (1 + 2 / 16) + 100);
    });

    it('a method has exactly one budget per address', async () => {
      const address = newAddress();
      // Too short to be checked: nothing but the limit of the method holds it up.
      const call = (node: TestNode) => guess(node, { email: 'a', password: 'x', address });
      const { passed, seconds } = await passing(300, call, 100);
      expect(passed).toBeGreaterThanOrEqual(200);
      expect(passed).toBeLessThanOrEqual(200 + Math.ceil(seconds * 20));
    });

    it('while Redis is away each node has a budget', async () => {
      const { authorization } = await signIn(nodes[0]);
      await untilShared();
      await redis.kill9();
      const call = (node: TestNode) => request(node, 'GET', '/v2/user', { authorization, headers: from(newAddress()) });
      const { passed, seconds } = await passing(160, call);
      expect(passed).toBeGreaterThanOrEqual(60);
      expect(passed).toBeLessThanOrEqual(60 + seconds * 2 * (1 + 1 / 16) + 10);
      await redis.restart();
    });
  });
});
