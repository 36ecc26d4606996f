import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maxEventPresences, maxPresenceBytes, type NewPresence, type Presence } from '../../cluster/presence.ts';
import { makeStream, type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { decodeStreamFrame, encodeEnvelope, type StreamMessage, visible } from '../../cluster/stream-frame.ts';
import { Code } from '../../platform/errors.ts';
import { StreamLog, showAll, showEvent } from './presence-check.ts';
import type { PresenceCluster, PresenceNode } from './presence-cluster.ts';
import { presenceFailures } from './presence-failures.ts';
import { type SimulationRuns, simulationTests } from './presence-sim-tests.ts';
import { at, eventually, rejection } from './support.ts';

export function presenceContract(
  name: string,
  makeCluster: () => Promise<PresenceCluster>,
  runs?: SimulationRuns,
): void {
  describe(`presence: ${name}`, () => {
    presenceOperations(makeCluster);
    presenceFailures(makeCluster);
    simulationTests(makeCluster, runs);
  });
}

function presenceOperations(makeCluster: () => Promise<PresenceCluster>): void {
  let cluster: PresenceCluster;
  let a: PresenceNode;
  let b: PresenceNode;
  let logs: StreamLog[];

  beforeEach(async () => {
    cluster = await makeCluster();
    [a, b] = [at(cluster.nodes, 0), at(cluster.nodes, 1)];
    logs = await hearEverywhere(cluster, lobby);
    a.presence.openSession('s1');
    a.presence.openSession('s2');
    b.presence.openSession('s3');
  });
  afterEach(() => cluster.close());

  const on = (node: PresenceNode, presence: NewPresence): Presence => ({
    ...presence,
    node: node.directory.self.name,
  });
  const join = (...joins: Presence[]): string => showEvent({ leaves: [], joins });
  const leave = (...leaves: Presence[]): string => showEvent({ leaves, joins: [] });
  /** That is what every node has heard, node a at once. */
  const heard = async (...entries: string[]): Promise<void> => {
    expect(at(logs, 0).entries).toEqual(entries);
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.entries).toEqual(entries));
    for (const log of logs) expect(log.problem).toBeUndefined();
  };
  const listed = async (stream: Stream, ...presences: Presence[]): Promise<void> => {
    for (const { presence } of cluster.nodes) {
      expect(showAll(await presence.list(stream))).toEqual(showAll(presences));
      expect(await presence.counts([stream])).toEqual([presences.length]);
    }
  };

  it('tracks a presence with one join, and gives the members', async () => {
    const [first, second] = [on(a, someone('s1')), on(b, someone('s3'))];
    expect(await a.presence.track(someone('s1'))).toEqual({ isNew: true, members: [first] });
    const result = await b.presence.track(someone('s3'));
    expect([result.isNew, showAll(result.members)]).toEqual([true, showAll([first, second])]);
    await eventually(cluster.settleMs, () => heard(join(first), join(second)));
    await listed(lobby, first, second);
  });

  it('gives every part of a presence back', async () => {
    const full = { ...someone('s1'), hidden: true, persistence: true, status: 'läuft ✓', username: 'Ann ❤' };
    await a.presence.track(full);
    expect(await b.presence.list(lobby)).toEqual([on(a, full)]);
  });

  it('keeps the old meta, and says nothing, when the presence is there already', async () => {
    const first = on(a, someone('s1'));
    await a.presence.track(someone('s1'));
    const again = await a.presence.track({ ...someone('s1'), username: 'other', hidden: true });
    expect(again).toEqual({ isNew: false, members: [first] });
    expect(await a.presence.trackMany([{ ...someone('s1'), status: 'other' }])).toEqual([false]);
    await heard(join(first));
    await listed(lobby, first);
  });

  it('tells presences apart by session, user and all four parts of the stream', async () => {
    const u1 = '11111111-1111-4111-8111-111111111111';
    const streams = [
      makeStream(2),
      makeStream(3),
      makeStream(2, u1),
      makeStream(2, '', u1),
      makeStream(2, '', '', '.'),
    ];
    for (const stream of streams) {
      const presences = [someone('s1'), someone('s2'), { ...someone('s1'), userId: 'second' }];
      for (const presence of presences) expect((await a.presence.track({ ...presence, stream })).isNew).toBe(true);
    }
    expect(await b.presence.counts(streams)).toEqual([3, 3, 3, 3, 3]);
    expect(await b.presence.counts([lobby, at(streams, 0), lobby])).toEqual([0, 3, 0]);
    expect(await b.presence.counts([])).toEqual([]);
    await heard();
  });

  it('counts, lists and announces hidden presences, marked for nodes alone', async () => {
    const hidden = { ...someone('s1'), hidden: true };
    const { members } = await a.presence.track(hidden);
    expect([members, visible(members)]).toEqual([[on(a, hidden)], []]);
    await heard(join(on(a, hidden)));
    await listed(lobby, on(a, hidden));
    await b.presence.untrackUser(hidden.userId, lobby);
    for (const log of logs) {
      await eventually(cluster.settleMs, () => expect(log.entries.at(-1)).toBe(leave(on(a, hidden))));
    }
  });

  it('tells clients of a presence that hides a leave, of one that shows itself a join, and else nothing', async () => {
    const told: (StreamMessage | undefined)[] = [];
    await b.bus.subscribe(streamTopic(lobby), (frame) => told.push(decodeStreamFrame(frame)));
    const [shown, hidden] = [someone('s1'), { ...someone('s1'), hidden: true }];
    await a.presence.track(hidden);
    await a.presence.update(shown);
    await a.presence.update(hidden);
    await a.presence.untrack('s1', lobby, shown.userId);
    const toClients = (): unknown[] =>
      told.map((message) => message?.kind === 'presences' && [showAll(message.leaves), showAll(message.joins)]);
    const asShown = showAll([on(a, shown)]);
    await eventually(cluster.settleMs, () => expect(toClients()).toEqual([false, [[], asShown], [asShown, []], false]));
    expect(told.map((message) => message?.kind)).toEqual(['hidden', 'presences', 'presences', 'hidden']);
  });

  it('tracks many with one event per stream', async () => {
    const other = { ...someone('s1'), stream: room };
    const roomLog = await hear(a, room);
    expect(await a.presence.trackMany([someone('s1'), other, someone('s2'), someone('s1')])).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(roomLog.entries).toEqual([join(on(a, other))]);
    await heard(join(on(a, someone('s1')), on(a, someone('s2'))));
    expect(await a.presence.trackMany([])).toEqual([]);
  });

  it('tracks many or none', async () => {
    const many = [someone('s1'), someone('unopened')];
    await rejection(a.presence.trackMany(many), Code.FAILED_PRECONDITION);
    await heard();
    await listed(lobby);
  });

  it('updates with leave and join in one event', async () => {
    const [old, updated] = [on(a, someone('s1')), on(a, { ...someone('s1'), status: 'busy' })];
    await a.presence.track(someone('s1'));
    await a.presence.update({ ...someone('s1'), status: 'busy' });
    const expected = [join(old), showEvent({ leaves: [old], joins: [updated] })];
    await heard(...expected);
    await listed(lobby, updated);
    const hidden = { ...someone('s1'), hidden: true };
    await a.presence.update(hidden);
    await a.presence.update(hidden);
    expected.push(showEvent({ leaves: [updated], joins: [on(a, hidden)] }));
    expected.push(showEvent({ leaves: [on(a, hidden)], joins: [on(a, hidden)] }));
    await heard(...expected);
    await listed(lobby, on(a, hidden));
  });

  it('joins when it updates what is not there', async () => {
    await a.presence.update(someone('s1'));
    await heard(join(on(a, someone('s1'))));
    await listed(lobby, on(a, someone('s1')));
  });

  it('untracks with one leave that has the last meta, once, from any node', async () => {
    const { userId } = someone('s1');
    const [old, last] = [on(a, someone('s1')), on(a, { ...someone('s1'), status: 'last' })];
    await a.presence.track(someone('s1'));
    await a.presence.update({ ...someone('s1'), status: 'last' });
    expect(await b.presence.untrack('s1', room, userId)).toBe(false);
    expect(await b.presence.untrack('s1', lobby, 'nobody')).toBe(false);
    const results = await Promise.all(cluster.nodes.map(({ presence }) => presence.untrack('s1', lobby, userId)));
    expect(results.filter(Boolean)).toHaveLength(1);
    await eventually(cluster.settleMs, () =>
      heard(join(old), showEvent({ leaves: [old], joins: [last] }), leave(last)),
    );
    await listed(lobby);
    // The session is still open.
    expect((await a.presence.track(someone('s1'))).isNew).toBe(true);
  });

  it('takes a closing session off all its streams, with one leave each', async () => {
    const roomLog = await hear(b, room);
    const presences = [someone('s1'), { ...someone('s1'), userId: 'second' }, { ...someone('s1'), stream: room }];
    await a.presence.trackMany([...presences, someone('s2')]);
    await a.presence.untrackSession('s1');
    await a.presence.untrackSession('s1');
    const [first, second, third] = presences.map((presence) => on(a, presence)) as [Presence, Presence, Presence];
    await heard(join(first, second, on(a, someone('s2'))), leave(first, second));
    await eventually(cluster.settleMs, () => expect(roomLog.entries).toEqual([join(third), leave(third)]));
    await listed(lobby, on(a, someone('s2')));
  });

  it('closes a session for good: no track races past it', async () => {
    for (let i = 0; i < 20; i++) {
      const session = `race-${i}`;
      a.presence.openSession(session);
      const before = [a.presence.track(someone(session)), a.presence.update({ ...someone(session), stream: room })];
      const closing = a.presence.untrackSession(session);
      const after = [
        a.presence.track(someone(session)),
        a.presence.trackMany([someone(session)]),
        a.presence.update(someone(session)),
      ].map((late) => rejection(late, Code.FAILED_PRECONDITION));
      await Promise.all([...before, closing, ...after]);
      await rejection(a.presence.track(someone(session)), Code.FAILED_PRECONDITION);
    }
    await listed(lobby);
    await listed(room);
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.entries).toHaveLength(40));
    for (const log of logs) expect(log.problem).toBeUndefined();
  });

  it('tracks open sessions only, and only where they are', async () => {
    expect(() => a.presence.openSession('s1')).toThrow();
    for (const session of ['s3', 'unopened']) {
      await rejection(a.presence.track(someone(session)), Code.FAILED_PRECONDITION);
      await rejection(a.presence.update(someone(session)), Code.FAILED_PRECONDITION);
    }
    await a.presence.untrackSession('s3');
    await a.presence.untrackSession('unopened');
    expect((await b.presence.track(someone('s3'))).isNew).toBe(true);
  });

  it('takes all sessions of a user off one stream, on all nodes', async () => {
    const same = [someone('s1'), someone('s2'), someone('s3')].map((one) => ({ ...one, userId: 'ann' }));
    const [first, second, third] = same as [NewPresence, NewPresence, NewPresence];
    const other = { ...someone('s1'), userId: 'bob' };
    await a.presence.trackMany([first, second, other, { ...first, stream: room }]);
    await b.presence.track(third);
    expect(await at(cluster.nodes, 2).presence.untrackUser('ann', lobby)).toBe(3);
    expect(await b.presence.untrackUser('ann', lobby)).toBe(0);
    await eventually(cluster.settleMs, () =>
      heard(
        join(on(a, first), on(a, second), on(a, other)),
        join(on(b, third)),
        leave(on(a, first), on(a, second), on(b, third)),
      ),
    );
    await listed(lobby, on(a, other));
    await listed(room, on(a, { ...first, stream: room }));
  });

  it('closes a stream without leaves', async () => {
    await a.presence.trackMany([someone('s1'), { ...someone('s1'), stream: room }]);
    await b.presence.track(someone('s3'));
    expect(await a.presence.closeStream(lobby)).toBe(2);
    await heard(join(on(a, someone('s1'))), join(on(b, someone('s3'))), 'closed');
    await listed(lobby);
    await listed(room, on(a, { ...someone('s1'), stream: room }));
    // Whoever is not listed may still have a member in mind: an empty stream is closed all the same.
    expect(await a.presence.closeStream(lobby)).toBe(0);
    expect((await b.presence.track(someone('s3'))).isNew).toBe(true);
    expect((await a.presence.track(someone('s1'))).isNew).toBe(true);
    expect(at(logs, 0).entries.slice(2, 4)).toEqual(['closed', 'closed']);
  });

  it('counts the presences of its own sessions', async () => {
    const locals = (): number[] => cluster.nodes.map(({ presence }) => presence.localCount());
    await a.presence.trackMany([someone('s1'), someone('s2'), { ...someone('s1'), stream: room }]);
    await b.presence.track({ ...someone('s3'), hidden: true });
    expect(locals()).toEqual([3, 1, 0]);
    await a.presence.update({ ...someone('s1'), status: 'x' });
    await b.presence.untrackUser(someone('s1').userId, lobby);
    await eventually(cluster.settleMs, () => expect(locals()).toEqual([2, 1, 0]));
    await b.presence.closeStream(lobby);
    await eventually(cluster.settleMs, () => expect(locals()).toEqual([1, 0, 0]));
    await a.presence.untrackSession('s1');
    expect(locals()).toEqual([0, 0, 0]);
  });

  it('resolves every change after its own subscribers heard of it', async () => {
    const { entries } = at(logs, 0);
    const { userId } = someone('s1');
    const changes: (() => Promise<unknown>)[] = [
      () => a.presence.track(someone('s1')),
      () => a.presence.update({ ...someone('s1'), status: 'x' }),
      () => a.presence.untrack('s1', lobby, userId),
      () => a.presence.trackMany([someone('s1')]),
      () => a.presence.untrackUser(userId, lobby),
      () => a.presence.track(someone('s1')),
      () => a.presence.closeStream(lobby),
      () => a.presence.track(someone('s1')),
      () => a.presence.untrackSession('s1'),
    ];
    for (const [i, change] of changes.entries()) {
      await change();
      expect(entries).toHaveLength(i + 1);
    }
  });

  it('knows what its own sessions hold, whoever took it from them', async () => {
    const mine = someone('s1');
    const holds = (): boolean => a.presence.holds(mine.sessionId, lobby, mine.userId);
    expect(holds()).toBe(false);
    const endings: (() => Promise<unknown>)[] = [
      () => a.presence.untrack(mine.sessionId, lobby, mine.userId),
      () => b.presence.untrack(mine.sessionId, lobby, mine.userId),
      () => b.presence.untrackUser(mine.userId, lobby),
      () => b.presence.closeStream(lobby),
      () => a.presence.untrackSession(mine.sessionId),
    ];
    for (const end of endings) {
      await a.presence.track(mine);
      expect(holds()).toBe(true);
      await end();
      await eventually(cluster.settleMs, () => expect(holds()).toBe(false));
    }
  });

  it('knows at a glance what it would count', async () => {
    await a.presence.track(someone('s1'));
    await b.presence.track(someone('s3'));
    expect(await a.presence.glance([lobby, room, lobby])).toEqual([2, 0, 2]);
    expect(await b.presence.glance([])).toEqual([]);
  });

  it('puts messages and events of a stream in one order on all nodes', async () => {
    const topic = streamTopic(lobby);
    for (let round = 0; round < 20; round++) {
      await Promise.all([
        a.presence.track(someone('s1')),
        b.bus.publish(topic, encodeEnvelope(lobby, new TextEncoder().encode(`b${round}`))),
        b.presence.track(someone('s3')),
        a.bus.publish(topic, encodeEnvelope(lobby, new TextEncoder().encode(`a${round}`))),
        a.presence.untrack('s1', lobby, someone('s1').userId),
        b.presence.untrack('s3', lobby, someone('s3').userId),
      ]);
    }
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.entries).toHaveLength(120));
    for (const log of logs) expect(log.entries).toEqual(at(logs, 0).entries);
    for (const log of logs) expect(log.problem).toBeUndefined();
    const of = on(a, someone('s1'));
    const fromA = at(logs, 0).entries.filter((entry) => entry.includes('s1') || entry.startsWith('message a'));
    expect(fromA).toEqual(Array.from({ length: 20 }, (_, round) => [join(of), `message a${round}`, leave(of)]).flat());
  });

  it('loses no join: of any two that join at once exactly one finds the other', async () => {
    const joiners = Array.from({ length: 60 }, (_, i) => ({ node: at(cluster.nodes, i % 3), session: `joiner-${i}` }));
    for (const { node, session } of joiners) node.presence.openSession(session);
    const results = await Promise.all(joiners.map(({ node, session }) => node.presence.track(someone(session))));
    const found = results.map(({ members }) => new Set(members.map(({ sessionId }) => sessionId)));
    for (const [i, first] of joiners.entries()) {
      expect(at(found, i).has(first.session)).toBe(true);
      for (const [j, second] of joiners.entries()) {
        if (i < j) expect(at(found, i).has(second.session)).not.toBe(at(found, j).has(first.session));
      }
    }
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.members.size).toBe(60));
    // What a joiner found is what its node had heard up to its own join.
    for (const [i, { members }] of results.entries()) {
      const log = at(logs, i % 3);
      expect(log.membersAtJoin.get(someone(at(joiners, i).session).username)).toEqual(showAll(members));
    }
  });

  it('splits what does not fit into one event', async () => {
    const count = maxEventPresences + 50;
    const status = 'x'.repeat(maxPresenceBytes - 200);
    const many = Array.from({ length: count }, (_, i) => ({ ...someone('s1'), userId: `u${i}`, status }));
    expect(await a.presence.trackMany(many)).toEqual(many.map(() => true));
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.members.size).toBe(count));
    expect((await a.presence.track(at(many, 0))).members).toHaveLength(count);
    await a.presence.untrackSession('s1');
    for (const log of logs) await eventually(cluster.settleMs, () => expect(log.members.size).toBe(0));
    for (const log of logs) expect([log.entries.length, log.problem]).toEqual([4, undefined]);
  });
}

const lobby = makeStream(2, '', '', 'lobby');
const room = makeStream(3, '22222222-2222-4222-8222-222222222222');

const someone = (sessionId: string): NewPresence => ({
  sessionId,
  userId: `user of ${sessionId}`,
  username: `name of ${sessionId}`,
  hidden: false,
  persistence: false,
  status: '',
  stream: lobby,
});

async function hear(node: PresenceNode, stream: Stream): Promise<StreamLog> {
  const log = new StreamLog([]);
  await node.bus.subscribe(streamTopic(stream), (frame) => {
    const message = decodeStreamFrame(frame);
    if (message?.key === streamKey(stream)) log.hear(message);
  });
  return log;
}

const hearEverywhere = (cluster: PresenceCluster, stream: Stream): Promise<StreamLog[]> =>
  Promise.all(cluster.nodes.map((node) => hear(node, stream)));
