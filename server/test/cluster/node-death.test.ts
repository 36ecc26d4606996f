import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import type { TestNode } from '../../testing/node.ts';
import { startProcessNode } from '../../testing/process-node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import { Guest, startNode, waitForAgreement, waitForMessages } from './support.ts';

// A node is killed, or stands still for longer than the others wait for it (reliability anchors F1, F2; P1, P2, X1).

/** From a node's end until the other has given its members up. */
const deadMs = 7000;
const pauseMs = 15_000;
/** From the moment when a node goes on until it has noticed, and until all is as it should be. */
const noticeMs = 3000;
const recoveryMs = 10_000;

describe.skipIf(!redisAvailable)('a node that dies or stands still', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let survivor: TestNode;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    survivor = await startNode('survivor', schema.url, redis.url);
  });

  afterAll(async () => {
    await survivor?.stop();
    await Promise.all([schema.drop(), redis.stop()]);
  });

  const startMortal = (name: string) => startProcessNode({ name, 'database.url': schema.url, 'redis.url': redis.url });
  /** Waits until only those are left in the room, as everybody of them was told; answers how long it took. */
  const left = async (guests: readonly Guest[]): Promise<number> => {
    const since = performance.now();
    const ids = guests.map(({ player }) => player.id).sort();
    const areLeft = (): boolean => guests.every(({ presences }) => `${presences.users}` === `${ids}`);
    await waitFor('the leaves', areLeft, deadMs + 5000);
    return Math.round(performance.now() - since);
  };
  /** The epoch that the cluster's directory has of a node. */
  const epochOf = async (name: string): Promise<number> => {
    const client = new Redis(redis.url);
    try {
      return Number(await client.hget('muster:nodes:live', name));
    } finally {
      client.disconnect();
    }
  };

  it('killed: the other reports the leaves within 7 s, and nobody is left behind', async () => {
    const mortal = await startMortal('killed');
    const [alice, bob] = [await Guest.enter(survivor, 'mortals'), await Guest.enter(mortal, 'mortals')];
    await waitForAgreement([alice, bob], 5000);

    process.kill(mortal.pid, 'SIGKILL');
    const ms = await left([alice]);
    console.info(`killed: leaves after ${ms} ms`);
    expect(ms).toBeLessThan(deadMs);
    expect(await alice.list()).toEqual([alice.player.id]);
    expect(alice.presences.faults).toEqual([]);
    await alice.quit();
    await mortal.stop();
  });

  it('paused for 15 s: it is given up, and comes back under a new epoch with its sockets, without ghosts', async () => {
    const sleeper = await startMortal('sleeper');
    const [alice, bob, ben, late] = [
      await Guest.enter(survivor, 'sleepers'),
      await Guest.enter(sleeper, 'sleepers'),
      await Guest.enter(sleeper, 'sleepers', 'protobuf'),
      await Guest.arrive(sleeper, 'sleepers'),
    ];
    await waitForAgreement([alice, bob, ben], 5000);
    const lost = await epochOf('sleeper');

    process.kill(sleeper.pid, 'SIGSTOP');
    const pausedAt = performance.now();
    const ms = await left([alice]);
    console.info(`paused: leaves after ${ms} ms`);
    expect(ms).toBeLessThan(deadMs);
    expect(await epochOf('sleeper')).toBe(0);
    // Waits for the node, and is the first thing that it does, before it knows that it was given up.
    late.socket.send({ cid: 'early', channel_join: { target: 'sleepers', type: 1, persistence: true } });
    ben.socket.ws.terminate();
    ben.isIn = false;
    await sleep(pauseMs - (performance.now() - pausedAt));
    process.kill(sleeper.pid, 'SIGCONT');

    const resumedAt = performance.now();
    await waitFor('a new epoch', async () => (await epochOf('sleeper')) > lost, noticeMs);
    const early = await late.socket.take('the answer', ({ cid }) => cid === 'early');
    console.info(`paused: a new epoch after ${Math.round(performance.now() - resumedAt)} ms, ${early.error?.message}`);
    const guests = [alice, bob, ben, late];
    await waitForMessages(guests, recoveryMs);
    await waitForAgreement(guests, recoveryMs - (performance.now() - resumedAt));
    console.info(`paused: all was well ${Math.round(performance.now() - resumedAt)} ms after it went on`);
    expect(guests.flatMap(({ presences }) => presences.faults)).toEqual([]);
    expect([bob.socket.closed, late.socket.closed]).toEqual([undefined, undefined]);
    expect([...survivor.errors, ...sleeper.errors]).toEqual([]);
    for (const guest of [alice, bob, late]) await guest.quit();
    expect(await sleeper.stop()).toBe(0);
  });
});
