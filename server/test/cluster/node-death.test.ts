import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { startProcessNode } from '../../testing/process-node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, TestSocket } from '../../testing/socket.ts';
import { sleep, waitFor } from '../../testing/wait.ts';

const join = { channel_join: { target: 'mortals', type: 1, persistence: false } };
const users = (presences: Envelope[] | undefined): string[] => (presences ?? []).map((presence) => presence.user_id);

describe.skipIf(!redisAvailable)('a node that dies or stands still', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let survivor: TestNode;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    survivor = await startTestNode({ databaseUrl: schema.url, config: { name: 'survivor', 'redis.url': redis.url } });
  });

  afterAll(async () => {
    await survivor.stop();
    await Promise.all([schema.drop(), redis.stop()]);
  });

  it('killed: the other reports the leaves within 7 s, and nobody is left behind', async () => {
    const mortal = await startProcessNode({ name: 'killed', 'database.url': schema.url, 'redis.url': redis.url });
    const [alice, bob] = await Promise.all([signIn(survivor), signIn(mortal)]);
    const a = await TestSocket.connect(survivor, alice.token);
    const b = await TestSocket.connect(mortal, bob.token);
    await b.request(join);
    const { channel } = await a.request(join);
    expect(users(channel.presences)).toEqual([bob.id]);

    process.kill(mortal.pid, 'SIGKILL');
    await a.take(
      'the leave of bob',
      (envelope) => users(envelope.channel_presence_event?.leaves).includes(bob.id),
      7000,
    );
    const again = await a.request(join);
    expect(users(again.channel.presences)).toEqual([alice.id]);
    await a.close();
    await mortal.stop();
  });

  it('paused beyond its death: it comes back under a new epoch, without ghosts', async () => {
    const sleeper = await startProcessNode({ name: 'sleeper', 'database.url': schema.url, 'redis.url': redis.url });
    const [alice, bob] = await Promise.all([signIn(survivor), signIn(sleeper)]);
    const a = await TestSocket.connect(survivor, alice.token);
    const b = await TestSocket.connect(sleeper, bob.token);
    await b.request(join);
    await a.request(join);

    process.kill(sleeper.pid, 'SIGSTOP');
    await a.take(
      'the leave of bob',
      (envelope) => users(envelope.channel_presence_event?.leaves).includes(bob.id),
      7000,
    );
    await sleep(1000);
    process.kill(sleeper.pid, 'SIGCONT');

    // Either its socket survived, and is on the channel again, or it was closed, and is not.
    await waitFor(
      'both to agree on who is there',
      async () => {
        const { channel } = await a.request(join);
        const isThere = users(channel.presences).includes(bob.id);
        return b.closed === undefined ? isThere : !isThere;
      },
      10_000,
    );
    const newcomer = await TestSocket.connect(sleeper, (await signIn(sleeper)).token);
    const { channel } = await newcomer.request(join);
    expect(users(channel.presences)).toContain(alice.id);
    await Promise.all([a.close(), newcomer.close()]);
    expect(await sleeper.stop()).toBe(0);
  });
});
