import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callDoor, type Door, type Outcome, restDoor } from '../../testing/doors.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestServer, type TestServer } from '../../testing/server.ts';
import { md5, StorageClient, versionCheckFailed } from './storage-support.ts';

// Many at once on the same objects (reliability anchors S1, S2, F13).

const writers = 50;
const rounds = 20;

const doorKinds = ['REST', 'call over json', 'call over protobuf'] as const;

describe.each(doorKinds)('concurrent storage, %s', (kind) => {
  let server: TestServer;
  let player: Player;
  let doors: Door[] = [];
  /** The same player as many clients, each with a connection of its own. */
  let clients: StorageClient[];
  const client = (): StorageClient => clients[0] as StorageClient;

  beforeAll(async () => {
    server = await startTestServer({
      config: {
        'socket.max_message_size_bytes': 262_144,
        'database.shared_clients': 6,
        'database.pool_size': 10,
        // All writers want the same rows: the last of them waits for all others, however busy the machine is.
        'database.acquire_timeout_ms': 30_000,
      },
    });
    player = await signIn(server);
    const open = async (): Promise<Door> => {
      if (kind === 'REST') return restDoor(server);
      return callDoor(server, player.token, kind === 'call over json' ? 'json' : 'protobuf');
    };
    doors = await Promise.all(Array.from({ length: writers }, open));
    clients = doors.map((door) => new StorageClient(door, player));
  });
  afterAll(async () => {
    await Promise.all(doors.map((door) => door.close()));
    expect(server.errors).toEqual([]);
    await server.stop();
  });

  const succeededOf = (outcomes: readonly Outcome[]): Outcome[] => outcomes.filter(({ code }) => code === 0);
  const failedOf = (outcomes: readonly Outcome[]): Outcome[] => outcomes.filter(({ code }) => code !== 0);

  it(`lets one of ${writers} writers of a version win, ${rounds} times`, async () => {
    let [current] = await client().write({ collection: 'race', key: 'version', value: '{"round":-1}' });
    for (let round = 0; round < rounds; round++) {
      const version = current?.version ?? '';
      const valueBy = (writer: number) => `{"round":${round},"writer":${writer}}`;
      const outcomes = await Promise.all(
        clients.map((each, writer) =>
          each.tryWrite({ collection: 'race', key: 'version', value: valueBy(writer), version }),
        ),
      );
      const winner = outcomes.findIndex(({ code }) => code === 0);
      expect(succeededOf(outcomes)).toHaveLength(1);
      for (const loser of failedOf(outcomes)) expect(loser).toMatchObject(versionCheckFailed);
      current = outcomes[winner]?.response.acks[0];
      expect(current?.version).toBe(md5(valueBy(winner)));
      const stored = await client().readOwn('race', 'version');
      expect(JSON.parse(stored?.value ?? '')).toEqual({ round, writer: winner });
    }
  });

  it(`lets one of ${writers} inserts win, ${rounds} times`, async () => {
    for (let round = 0; round < rounds; round++) {
      const key = `insert${round}`;
      const outcomes = await Promise.all(
        clients.map((each, writer) =>
          each.tryWrite({ collection: 'race', key, value: `{"writer":${writer}}`, version: '*' }),
        ),
      );
      expect(succeededOf(outcomes)).toHaveLength(1);
      for (const loser of failedOf(outcomes)) expect(loser).toMatchObject(versionCheckFailed);
      const winner = outcomes.findIndex(({ code }) => code === 0);
      expect((await client().readOwn('race', key))?.value).toBe(`{"writer": ${winner}}`);
    }
  });

  it('takes every unconditional write', async () => {
    const outcomes = await Promise.all(
      clients.map((each, writer) => each.tryWrite({ collection: 'race', key: 'any', value: `{"writer":${writer}}` })),
    );
    expect(failedOf(outcomes)).toEqual([]);
  });

  it('lets one of many deletes win', async () => {
    for (let round = 0; round < 5; round++) {
      await client().write({ collection: 'race', key: 'gone', value: '{}' });
      const outcomes = await Promise.all(clients.map((each) => each.tryDelete({ collection: 'race', key: 'gone' })));
      expect(succeededOf(outcomes)).toHaveLength(1);
    }
  });

  it('loses no increment of a counter', async () => {
    const [counting, perClient] = [10, 10];
    const acknowledged: number[] = [];
    await client().write({ collection: 'race', key: 'counter', value: '{"n":0}', version: '*' });
    const increment = async (each: StorageClient): Promise<void> => {
      for (;;) {
        const stored = await each.readOwn('race', 'counter');
        const n = (JSON.parse(stored?.value ?? '') as { n: number }).n + 1;
        const version = stored?.version ?? '';
        const outcome = await each.tryWrite({ collection: 'race', key: 'counter', value: `{"n":${n}}`, version });
        if (outcome.code === 0) {
          acknowledged.push(n);
          return;
        }
        expect(outcome).toMatchObject(versionCheckFailed);
      }
    };
    await Promise.all(
      clients.slice(0, counting).map(async (each) => {
        for (let n = 0; n < perClient; n++) await increment(each);
      }),
    );
    // No fork: each acknowledged write replaced the one before it.
    expect(acknowledged.sort((a, b) => a - b)).toEqual(Array.from({ length: counting * perClient }, (_, n) => n + 1));
    expect((await client().readOwn('race', 'counter'))?.value).toBe(`{"n": ${counting * perClient}}`);
  });

  it('does not deadlock batches in opposite order', async () => {
    const keys = Array.from({ length: 12 }, (_, n) => `cross${n}`);
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all(
        clients.map((each, writer) => {
          const order = writer % 2 === 0 ? keys : keys.toReversed();
          // From the middle, so that the sequences cross everywhere.
          const turned = [...order.slice(writer % keys.length), ...order.slice(0, writer % keys.length)];
          return each.tryWrite(
            ...turned.map((key) => ({ collection: 'race', key, value: `{"round":${round},"writer":${writer}}` })),
          );
        }),
      );
      expect(failedOf(outcomes)).toEqual([]);
      const ids = keys.map((key) => ({ collection: 'race', key, user_id: player.id }));
      const values = (await client().read(...ids)).map(({ value }) => value);
      // Batches do not mix: all objects are those of one batch.
      expect(values).toHaveLength(keys.length);
      expect(new Set(values).size).toBe(1);
    }
  });

  it('does not deadlock batches of writes with batches of deletes', async () => {
    const keys = Array.from({ length: 8 }, (_, n) => `mixed${n}`);
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all(
        clients.map((each, writer) => {
          const ids = (writer % 4 < 2 ? keys : keys.toReversed()).map((key) => ({ collection: 'race', key }));
          if (writer % 2 === 0) return each.tryWrite(...ids.map((id) => ({ ...id, value: `{"writer":${writer}}` })));
          return each.tryDelete(...ids);
        }),
      );
      for (const failure of failedOf(outcomes)) expect(failure.message).toMatch(/^Storage delete rejected/);
      const ids = keys.map((key) => ({ collection: 'race', key, user_id: player.id }));
      expect([0, keys.length]).toContain((await client().read(...ids)).length);
    }
  });

  it('changes nothing by a batch with one bad object, also among good ones', async () => {
    const outcomes = await Promise.all(
      clients.map((each, writer) => {
        const isBad = writer % 2 === 1;
        return each.tryWrite(
          { collection: 'race', key: 'z-shared', value: `{"writer":${writer}}` },
          { collection: 'race', key: `own${writer}`, value: '{}' },
          { collection: 'race', key: 'missing', value: '{}', ...(isBad ? { version: md5('none') } : {}) },
          ...(isBad ? [] : [{ collection: 'race', key: 'a-shared', value: `{"writer":${writer}}` }]),
        );
      }),
    );
    await client().tryDelete({ collection: 'race', key: 'missing' });
    outcomes.forEach((outcome, writer) => {
      if (writer % 2 === 1) expect(outcome).toMatchObject(versionCheckFailed);
      else expect(outcome.code).toBe(0);
    });
    const written = await client().read(
      ...clients.map((_, writer) => ({ collection: 'race', key: `own${writer}`, user_id: player.id })),
    );
    expect(written.map(({ key }) => key)).toEqual(Array.from({ length: writers / 2 }, (_, index) => `own${index * 2}`));
    const shared = await client().read(
      { collection: 'race', key: 'a-shared', user_id: player.id },
      { collection: 'race', key: 'z-shared', user_id: player.id },
    );
    expect(shared[0]?.value).toBe(shared[1]?.value);
  });
});
