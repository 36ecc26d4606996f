import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GoneCause, LostCause, NodeDirectory, NodeId } from '../../cluster/nodes.ts';
import { at, eventually } from './support.ts';

export interface TestNode {
  readonly directory: NodeDirectory;
  /** Stops the node's signs of life until the others have given it up, as SIGSTOP would. */
  freeze(): Promise<void>;
  /** Lets it run again. */
  thaw(): Promise<void>;
}

export interface NodesCluster {
  /** A process under that name that has not started yet. Several may have the same name. */
  add(name: string, address?: string): Promise<TestNode>;
  /** The time within which an end or a start is known everywhere; above the dead time. */
  readonly settleMs: number;
  close(): Promise<void>;
}

export function nodesContract(name: string, makeCluster: () => Promise<NodesCluster>): void {
  describe(`nodes: ${name}`, () => {
    let cluster: NodesCluster;
    let a: Watched;
    let b: Watched;
    let c: Watched;

    beforeEach(async () => {
      cluster = await makeCluster();
      [a, b, c] = [await started('a'), await started('b', '10.0.0.2:7349'), await started('c')];
    });
    afterEach(() => cluster.close());

    const started = async (nodeName: string, address?: string): Promise<Watched> => {
      const node = watch(await cluster.add(nodeName, address));
      await node.directory.start();
      return node;
    };
    const settled = (assertion: () => void | Promise<void>): Promise<void> => eventually(cluster.settleMs, assertion);
    const names = async (node: Watched): Promise<string[]> => (await node.directory.list()).map((info) => info.name);

    it('has no epoch before the start', async () => {
      const node = watch(await cluster.add('d'));
      expect(node.directory.self).toEqual({ name: 'd', epoch: 0 });
      expect(await names(a)).toEqual(['a', 'b', 'c']);
    });

    it('lists every node on every node, sorted by name', async () => {
      const aa = await started('0');
      for (const node of [a, b, c, aa]) {
        await settled(async () => expect(await names(node)).toEqual(['0', 'a', 'b', 'c']));
        const infos = await node.directory.list();
        expect(infos.map(({ epoch }) => epoch)).toEqual([aa, a, b, c].map((other) => other.directory.self.epoch));
        expect(infos.map(({ address }) => address)).toEqual([undefined, undefined, '10.0.0.2:7349', undefined]);
        for (const { epoch, startedAt } of infos) {
          expect(Number.isSafeInteger(epoch) && epoch > 0).toBe(true);
          expect(startedAt).toBeGreaterThan(0);
        }
      }
      expect([a, b, c, aa].flatMap((node) => node.log)).toEqual([]);
    });

    it('starts once', async () => {
      const { epoch } = a.directory.self;
      await a.directory.start();
      expect(a.directory.self.epoch).toBe(epoch);
      expect(await names(b)).toEqual(['a', 'b', 'c']);
    });

    it('tells the others, once, that a node left', async () => {
      const left = b.directory.self;
      await b.directory.stop();
      await b.directory.stop();
      await settled(() => expect([a.log, c.log]).toEqual([[gone(left, 'left')], [gone(left, 'left')]]));
      for (const node of [a, c]) expect(await names(node)).toEqual(['a', 'c']);
      expect(b.log).toEqual([]);
    });

    it('lets a node come back with a greater epoch', async () => {
      const before = b.directory.self;
      await b.directory.stop();
      await b.directory.start();
      expect(b.directory.self.epoch).toBeGreaterThan(before.epoch);
      const again = await started('d');
      await settled(async () => expect(await names(again)).toEqual(['a', 'b', 'c', 'd']));
      await settled(() => expect(a.log).toEqual([gone(before, 'left')]));
    });

    it('stops before it was started', async () => {
      await watch(await cluster.add('d')).directory.stop();
      expect(await names(a)).toEqual(['a', 'b', 'c']);
    });

    it('tells the survivors, once each, that a node died', async () => {
      const dead = b.directory.self;
      await b.node.freeze();
      await settled(() => expect([a.log, c.log]).toEqual([[gone(dead, 'died')], [gone(dead, 'died')]]));
      for (const node of [a, c]) expect(await names(node)).toEqual(['a', 'c']);
      expect(b.log).toEqual([]);
    });

    it('lets a node that was given up find out and rejoin with a new epoch', async () => {
      const lost = b.directory.self;
      let selfThen: NodeId | undefined;
      b.directory.onSelfLost(() => {
        selfThen = b.directory.self;
      });
      await b.node.freeze();
      await settled(() => expect([a.log, c.log]).toEqual([[gone(lost, 'died')], [gone(lost, 'died')]]));
      await b.node.thaw();
      await settled(() => expect(b.log).toEqual([selfLost(lost, 'died')]));
      expect(b.directory.self.name).toBe('b');
      expect(b.directory.self.epoch).toBeGreaterThan(lost.epoch);
      expect(selfThen).toEqual(b.directory.self);
      for (const node of [a, b, c]) {
        await settled(async () => expect(await names(node)).toEqual(['a', 'b', 'c']));
        const infos = await node.directory.list();
        expect(at(infos, 1).epoch).toBe(b.directory.self.epoch);
      }
      expect(a.log).toEqual([gone(lost, 'died')]);
    });

    it('tells of a second death of the same name', async () => {
      const first = b.directory.self;
      await b.node.freeze();
      await settled(() => expect(a.log).toHaveLength(1));
      await b.node.thaw();
      await settled(() => expect(b.log).toHaveLength(1));
      const second = b.directory.self;
      await b.node.freeze();
      await settled(() => expect(a.log).toEqual([gone(first, 'died'), gone(second, 'died')]));
    });

    it('replaces an epoch of the same name, tells everybody, and keeps the old process out', async () => {
      const old = b.directory.self;
      const next = await started('b');
      expect(next.directory.self.epoch).toBeGreaterThan(old.epoch);
      await settled(() => {
        for (const node of [a, c, next]) expect(node.log).toEqual([gone(old, 'replaced')]);
        expect(b.log).toEqual([selfLost(old, 'replaced')]);
      });
      for (const node of [a, c, next]) {
        const infos = await node.directory.list();
        expect(infos.map((info) => info.name)).toEqual(['a', 'b', 'c']);
        expect(at(infos, 1).epoch).toBe(next.directory.self.epoch);
      }
      // The old process leaving does not end the new one.
      await b.directory.stop();
      expect(await names(a)).toEqual(['a', 'b', 'c']);
      expect(a.log).toEqual([gone(old, 'replaced')]);
    });

    it('keeps a node out that wakes up to find its name taken', async () => {
      const old = b.directory.self;
      await b.node.freeze();
      await settled(() => expect(a.log).toEqual([gone(old, 'died')]));
      const next = await started('b');
      await b.node.thaw();
      await settled(() => expect(b.log).toEqual([selfLost(old, 'replaced')]));
      const infos = await a.directory.list();
      expect(at(infos, 1)).toMatchObject(next.directory.self);
      expect(next.log).toEqual([]);
    });

    it('never lists two epochs of one name through a crash loop, and ends each epoch once', async () => {
      const epochs = [b.directory.self.epoch];
      let last = b;
      for (let i = 0; i < 5; i++) {
        await last.node.freeze();
        last = await started('b');
        epochs.push(last.directory.self.epoch);
        for (const node of [a, c])
          expect((await names(node)).filter((listed) => listed === 'b').length).toBeLessThan(2);
      }
      expect(epochs).toEqual([...new Set(epochs)].sort((x, y) => x - y));
      for (const node of [a, c]) {
        await settled(() => expect(node.log.map((entry) => entry.node.epoch)).toEqual(epochs.slice(0, -1)));
        await settled(async () => expect(await names(node)).toEqual(['a', 'b', 'c']));
      }
    });

    it('goes on when a listener throws', async () => {
      const d = await cluster.add('d');
      d.directory.onGone(() => {
        throw new Error('planted');
      });
      const watched = watch(d);
      await d.directory.start();
      const left = b.directory.self;
      await b.directory.stop();
      await settled(() => expect(watched.log).toEqual([gone(left, 'left')]));
    });
  });
}

interface LogEntry {
  readonly what: 'gone' | 'self lost';
  readonly node: NodeId;
  readonly cause: GoneCause | LostCause;
}

interface Watched {
  readonly node: TestNode;
  readonly directory: NodeDirectory;
  readonly log: LogEntry[];
}

const gone = ({ name, epoch }: NodeId, cause: GoneCause): LogEntry => ({ what: 'gone', node: { name, epoch }, cause });
const selfLost = ({ name, epoch }: NodeId, cause: LostCause): LogEntry => ({
  what: 'self lost',
  node: { name, epoch },
  cause,
});

function watch(node: TestNode): Watched {
  const log: LogEntry[] = [];
  node.directory.onGone((id, cause) => log.push(gone(id, cause)));
  node.directory.onSelfLost((id, cause) => log.push(selfLost(id, cause)));
  return { node, directory: node.directory, log };
}
