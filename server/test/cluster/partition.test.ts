import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { request } from '../../testing/http.ts';
import type { TestNode } from '../../testing/node.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import type { Envelope } from '../../testing/socket.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import { median, SqlLoad, slowest, sqlKinds } from './load.ts';
import { Guest, startNode, waitForAgreement, waitForMessages } from './support.ts';

// One node cannot reach Redis, the other can (reliability anchor F7; invariants P1, P2, C1, X1).

const faultMs = 20_000;
/** From the fault until the other node has given the members of this one up. */
const deadMs = 7000;
/** From the end of the fault until all is as it should be. */
const recoveryMs = 10_000;

describe.skipIf(!redisAvailable).each([
  ['cut off from Redis', 'cut'],
  ['getting no answer from Redis', 'stall'],
] as const)('a node %s for 20 s', (_title, fault) => {
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let connected: TestNode;
  let lonely: TestNode;
  let sql: SqlLoad;
  /** By what they do during the fault; those who stay are on both nodes. */
  let guests: Record<'here' | 'there' | 'leaves' | 'hangsUp' | 'comes' | 'leavesHere' | 'comesHere', Guest>;
  let givenUpAfterMs = 0;
  let online: Envelope;
  const answers: Record<string, Envelope> = {};
  const at = { broken: 0, healed: 0 };

  // One fault, looked at by the tests below.
  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    connected = await startNode('connected', schema.url, redis.url);
    lonely = await startNode('lonely', schema.url, proxy.url);
    guests = {
      here: await Guest.enter(connected, 'island'),
      there: await Guest.enter(lonely, 'island'),
      leaves: await Guest.enter(lonely, 'island'),
      hangsUp: await Guest.enter(lonely, 'island'),
      comes: await Guest.arrive(lonely, 'island'),
      leavesHere: await Guest.enter(connected, 'island'),
      comesHere: await Guest.arrive(connected, 'island'),
    };
    const { here, there, leaves, hangsUp, comes, leavesHere, comesHere } = guests;
    await there.socket.request({ status_update: { status: '' } });
    await waitForAgreement(Object.values(guests), 5000);
    sql = await SqlLoad.start(lonely);

    proxy[fault]();
    at.broken = performance.now();
    const staying = [here, leavesHere].map(({ player }) => player.id).sort();
    await waitFor('the leaves', () => `${here.presences.users}` === `${staying}`, deadMs + 5000);
    givenUpAfterMs = Math.round(performance.now() - at.broken);
    [answers.left, answers.came, answers.leftHere, answers.cameHere] = await Promise.all([
      leaves.leave(),
      comes.join(),
      leavesHere.leave(),
      comesHere.join(),
      hangsUp.quit(),
    ]);
    [answers.saidHere, answers.saidThere] = await Promise.all([here.say('from here'), there.say('from there')]);
    online = (await request({ url: lonely.url }, 'GET', '/v2/account', there.player)).body.user.online;
    await sleep(faultMs - (performance.now() - at.broken));
    proxy.heal();
    at.healed = performance.now();
  });
  afterAll(async () => {
    await sql?.stop().catch(() => undefined);
    for (const { socket } of Object.values(guests ?? {})) socket.ws.terminate();
    await Promise.all([connected?.stop(), lonely?.stop()]);
    await proxy?.close();
    await Promise.all([schema.drop(), redis.stop()]);
  });

  it('P1: is given up by the other in time', () => {
    console.info(`${fault}: leaves after ${givenUpAfterMs} ms`);
    expect(givenUpAfterMs).toBeLessThan(deadMs);
  });

  it('P1: has its members back in the room when it is over, and messages get through', async () => {
    await waitForMessages(Object.values(guests), recoveryMs);
    await waitForAgreement(Object.values(guests), recoveryMs - (performance.now() - at.healed));
    console.info(`${fault}: all was well ${Math.round(performance.now() - at.healed)} ms after the end`);
  });

  it('let its own people leave meanwhile, and refused one who wanted to join', () => {
    expect(answers).toMatchObject({ came: { message: 'Redis is out of reach' } });
    expect([answers.left, answers.leftHere, answers.cameHere]).toEqual([undefined, undefined, undefined]);
    expect(guests.comes.isIn).toBe(false);
  });

  it('P2: told nobody of the same join or leave twice', () => {
    expect(Object.values(guests).flatMap((guest) => guest.presences.faults)).toEqual([]);
  });

  it('C1: has delivered what was acknowledged meanwhile', async () => {
    for (const [ack, text] of [
      [answers.saidHere, 'from here'],
      [answers.saidThere, 'from there'],
    ]) {
      if (ack.error !== undefined) continue;
      for (const { heard } of [guests.here, guests.there]) {
        await waitFor(`the message ${text}`, () => heard.includes(text), 5000);
      }
    }
  });

  it('closed no socket', () => {
    const { hangsUp, ...others } = guests;
    for (const guest of Object.values(others)) expect(guest.socket.closed).toBeUndefined();
    expect(hangsUp.socket.closed).toBeDefined();
  });

  it('made calls that need only SQL neither fail nor wait', async () => {
    await sql.stop();
    for (const kind of sqlKinds) {
      const attempts = sql.attempts.filter((one) => one.kind === kind);
      console.info(`${fault}: ${kind}: slowest of ${attempts.length}: ${slowest(attempts)} ms`);
      expect(attempts.filter(({ error }) => error !== undefined)).toEqual([]);
      expect(slowest(attempts)).toBeLessThan(2000);
      // If it waited for Redis, all of them would take a second.
      expect(median(attempts)).toBeLessThan(500);
    }
  });

  it('knew of its own users who is online', () => {
    expect(online).toBe(true);
  });

  it('X1: met nothing that a node takes for an error', () => {
    expect([...connected.errors, ...lonely.errors]).toEqual([]);
  });
});
