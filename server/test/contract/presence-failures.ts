import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maxPresenceBytes, maxSessionPresences, type NewPresence } from '../../cluster/presence.ts';
import { makeStream, streamTopic } from '../../cluster/stream.ts';
import { decodeStreamFrame } from '../../cluster/stream-frame.ts';
import { Code } from '../../platform/errors.ts';
import { StreamLog } from './presence-check.ts';
import type { PresenceCluster, PresenceNode } from './presence-cluster.ts';
import { at, eventually, rejection } from './support.ts';

/** Dead nodes, nodes that are dead and do not know it, and limits. */
export function presenceFailures(makeCluster: () => Promise<PresenceCluster>): void {
  describe('failures and limits', () => {
    let cluster: PresenceCluster;
    let a: PresenceNode;
    let b: PresenceNode;
    let c: PresenceNode;
    let log: StreamLog;

    beforeEach(async () => {
      cluster = await makeCluster();
      [a, b, c] = [at(cluster.nodes, 0), at(cluster.nodes, 1), at(cluster.nodes, 2)];
      log = new StreamLog([]);
      await a.bus.subscribe(streamTopic(lobby), (frame) => {
        const message = decodeStreamFrame(frame);
        if (message !== undefined) log.hear(message);
      });
    });
    afterEach(() => cluster.close());

    const open = (node: PresenceNode, count: number): NewPresence[] =>
      Array.from({ length: count }, (_, i) => {
        const sessionId = `${node.directory.self.name}-${node.directory.self.epoch}-${i}`;
        node.presence.openSession(sessionId);
        return { ...someone, sessionId };
      });
    const nodesOnLobby = async (): Promise<string[]> => (await a.presence.list(lobby)).map(({ node }) => node).sort();
    const nameOf = (node: PresenceNode): string => node.directory.self.name;

    it('sweeps what a dead node left, once, and nothing else', async () => {
      await b.presence.trackMany(open(b, 30).map((presence, i) => ({ ...presence, hidden: i % 2 === 0 })));
      await c.presence.trackMany(open(c, 2));
      await a.presence.trackMany(open(a, 1));
      await eventually(cluster.settleMs, () => expect(log.members.size).toBe(33));
      const dead = await cluster.crash(1);
      const swept = await Promise.all([a.presence.sweep(dead), c.presence.sweep(dead), a.presence.sweep(dead)]);
      expect(swept.reduce((sum, count) => sum + count, 0)).toBe(30);
      expect(await c.presence.sweep(dead)).toBe(0);
      await eventually(cluster.settleMs, () => expect(log.members.size).toBe(3));
      expect(log.problem).toBeUndefined();
      expect(await nodesOnLobby()).toEqual([nameOf(a), nameOf(c), nameOf(c)].sort());
    });

    it('says of leaves by a sweep, and of no others, that the node was given up', async () => {
      const sweeps: boolean[] = [];
      await a.bus.subscribe(streamTopic(lobby), (frame) => {
        const message = decodeStreamFrame(frame);
        if (message !== undefined && 'sweep' in message) sweeps.push(message.sweep);
      });
      const [first, hidden] = open(b, 2) as [NewPresence, NewPresence];
      await b.presence.track(first);
      await b.presence.untrack(first.sessionId, lobby, first.userId);
      await b.presence.trackMany([first]);
      await eventually(cluster.settleMs, () => expect(sweeps).toEqual([false, false, false]));
      await a.presence.sweep(await cluster.crash(1));
      expect(sweeps.slice(3)).toEqual([true]);
      const again = await cluster.restart(1);
      again.presence.openSession(`again ${hidden.sessionId}`);
      await again.presence.track({ ...hidden, sessionId: `again ${hidden.sessionId}`, hidden: true });
      await eventually(cluster.settleMs, () => expect(sweeps.slice(4)).toEqual([false]));
      await a.presence.sweep(await cluster.crash(1));
      expect(sweeps.slice(5)).toEqual([true]);
    });

    it('has the leaves out when the sweep resolves', async () => {
      await b.presence.trackMany(open(b, 3));
      await eventually(cluster.settleMs, () => expect(log.members.size).toBe(3));
      const dead = await cluster.crash(1);
      expect(await a.presence.sweep(dead)).toBe(3);
      expect(log.members.size).toBe(0);
    });

    it('sweeps a node that had nothing', async () => {
      expect(await a.presence.sweep({ name: 'unheard of', epoch: 3 })).toBe(0);
    });

    it('leaves the presences of a node alone that is back with a new epoch', async () => {
      const before = open(b, 2);
      await b.presence.trackMany(before);
      const dead = await cluster.crash(1);
      const again = await cluster.restart(1);
      expect(again.directory.self.epoch).toBeGreaterThan(dead.epoch);
      await again.presence.trackMany(open(again, 3));
      expect(await a.presence.sweep(dead)).toBe(2);
      expect(await nodesOnLobby()).toEqual([nameOf(b), nameOf(b), nameOf(b)]);
      again.presence.openSession('after the sweep');
      expect((await again.presence.track({ ...someone, sessionId: 'after the sweep' })).isNew).toBe(true);
      await eventually(cluster.settleMs, () => expect(log.members.size).toBe(4));
      expect(log.problem).toBeUndefined();
      expect(again.presence.localCount()).toBe(4);
    });

    it('refuses a node that was swept and does not know it', async () => {
      const [first, second] = open(b, 2) as [NewPresence, NewPresence];
      await b.presence.track(first);
      await a.presence.sweep(b.directory.self);
      for (const presence of [first, second]) {
        await rejection(b.presence.track(presence), Code.UNAVAILABLE);
        await rejection(b.presence.update(presence), Code.UNAVAILABLE);
        await rejection(b.presence.trackMany([presence]), Code.UNAVAILABLE);
      }
      b.presence.openSession('opened too late');
      await rejection(b.presence.track({ ...someone, sessionId: 'opened too late' }), Code.UNAVAILABLE);
      await b.presence.untrackSession(first.sessionId);
      expect(await nodesOnLobby()).toEqual([]);
      expect(log.entries).toHaveLength(2);
    });

    for (const sweeper of [0, 1]) {
      it(`keeps sessions of a lost epoch closed after the node has rejoined (swept by node ${sweeper})`, async () => {
        const [old] = open(b, 1) as [NewPresence];
        await b.presence.track(old);
        const lost = await cluster.rejoin(1);
        expect(b.directory.self.epoch).toBeGreaterThan(lost.epoch);
        expect(await at(cluster.nodes, sweeper).presence.sweep(lost)).toBe(1);
        // Its own sweep closes them, that of another only tells it that they are given up.
        const refused = sweeper === 1 ? Code.FAILED_PRECONDITION : Code.UNAVAILABLE;
        await rejection(b.presence.track(old), refused);
        await rejection(b.presence.update(old), refused);
        const [fresh] = open(b, 1) as [NewPresence];
        expect((await b.presence.track(fresh)).isNew).toBe(true);
        expect(await c.presence.sweep(lost)).toBe(0);
        await b.presence.untrackSession(old.sessionId);
        expect(await nodesOnLobby()).toEqual([nameOf(b)]);
        expect(b.presence.localCount()).toBe(1);
        await eventually(cluster.settleMs, () => expect(log.members.size).toBe(1));
        expect(log.problem).toBeUndefined();
      });
    }

    it('refuses what comes from a crashed node', async () => {
      const [presence] = open(b, 1) as [NewPresence];
      const dead = await cluster.crash(1);
      await a.presence.sweep(dead);
      await rejection(b.presence.track(presence), Code.FAILED_PRECONDITION, Code.UNAVAILABLE);
      expect(await nodesOnLobby()).toEqual([]);
    });

    it('lets other nodes change what a dead node has on a stream, before the sweep', async () => {
      await b.presence.trackMany(open(b, 2));
      const dead = await cluster.crash(1);
      expect(await a.presence.untrackUser(someone.userId, lobby)).toBe(2);
      expect(await a.presence.sweep(dead)).toBe(0);
      await eventually(cluster.settleMs, () => expect(log.members.size).toBe(0));
      expect(log.problem).toBeUndefined();
    });

    it('refuses a presence that is too large', async () => {
      const [presence] = open(a, 1) as [NewPresence];
      const large = { ...presence, status: 'x'.repeat(maxPresenceBytes) };
      await rejection(a.presence.track(large), Code.INVALID_ARGUMENT);
      await rejection(a.presence.update(large), Code.INVALID_ARGUMENT);
      await rejection(a.presence.trackMany([presence, large]), Code.INVALID_ARGUMENT);
      expect([await nodesOnLobby(), log.entries]).toEqual([[], []]);
    });

    it('bounds the streams of one session', async () => {
      const [presence] = open(a, 1) as [NewPresence];
      const onMany = (count: number): NewPresence[] =>
        Array.from({ length: count }, (_, i) => ({ ...presence, stream: makeStream(9, '', '', `${i}`) }));
      await rejection(a.presence.trackMany(onMany(maxSessionPresences + 1)), Code.RESOURCE_EXHAUSTED);
      expect(a.presence.localCount()).toBe(0);
      await a.presence.trackMany(onMany(maxSessionPresences));
      const error = await rejection(a.presence.track(presence), Code.RESOURCE_EXHAUSTED);
      expect(error.retry).toBe('no');
      await rejection(a.presence.update(presence), Code.RESOURCE_EXHAUSTED);
      expect((await a.presence.track(at(onMany(1), 0))).isNew).toBe(false);
      await a.presence.untrackSession(presence.sessionId);
      expect(a.presence.localCount()).toBe(0);
    });

    it('refuses a malformed stream', async () => {
      const [presence] = open(a, 1) as [NewPresence];
      for (const stream of [makeStream(256), makeStream(-1), makeStream(0.5), makeStream(2, 'a.b')]) {
        await rejection(a.presence.track({ ...presence, stream }), Code.INVALID_ARGUMENT);
        await rejection(a.presence.list(stream), Code.INVALID_ARGUMENT);
      }
    });
  });
}

const lobby = makeStream(2, '', '', 'lobby');

const someone: NewPresence = {
  sessionId: '',
  userId: 'ann',
  username: 'Ann',
  hidden: false,
  persistence: true,
  status: '',
  stream: lobby,
};
