import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryCounters } from '../../cluster/counters-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { MemoryNodes } from '../../cluster/nodes-memory.ts';
import { MemoryPresence } from '../../cluster/presence-memory.ts';
import { ManualClock, systemClock } from '../../platform/clock.ts';
import { type BusCluster, busContract } from './bus.ts';
import { countersContract } from './counters.ts';
import { DelayedBus, DelayedLink, DelayedPresence } from './delayed.ts';
import { nodesContract } from './nodes.ts';
import { presenceContract } from './presence.ts';
import type { PresenceCluster, PresenceNode } from './presence-cluster.ts';
import { at, CountingLog, Random } from './support.ts';

const settleMs = 1000;

interface TestNode extends PresenceNode {
  crash(): Promise<void>;
  rejoin(): void;
}

/** Nodes on one hub; with `delayed`, each behind a link of its own. */
function makeNodes(delayed: boolean) {
  const hub = new MemoryHub();
  const log = new CountingLog();
  const random = new Random(1);
  return {
    log,
    node: async (name: string): Promise<TestNode> => {
      const bus = new MemoryBus(hub, name, log);
      const directory = new MemoryNodes(hub, { name, clock: systemClock, log });
      await directory.start();
      const presence = new MemoryPresence(hub, directory);
      const link = new DelayedLink(random);
      const crash = async (): Promise<void> => {
        if (delayed) link.cut();
        directory.freeze();
        await bus.close();
      };
      const rejoin = (): void => {
        directory.freeze();
        directory.thaw();
      };
      if (!delayed) return { bus, directory, presence, crash, rejoin };
      return {
        bus: new DelayedBus(bus, link, () => log.error()),
        directory,
        presence: new DelayedPresence(presence, link),
        crash,
        rejoin,
      };
    },
  };
}

async function makeBusCluster(delayed: boolean): Promise<BusCluster> {
  const { node, log } = makeNodes(delayed);
  const nodes = [await node('a'), await node('b'), await node('c')];
  const buses = nodes.map(({ bus }) => bus);
  return {
    buses,
    settleMs,
    crash: (index) => at(nodes, index).crash(),
    loggedErrors: () => log.errors,
    close: async () => void (await Promise.all(buses.map((bus) => bus.close()))),
  };
}

async function makePresenceCluster(delayed: boolean): Promise<PresenceCluster> {
  const { node } = makeNodes(delayed);
  const nodes = [await node('a'), await node('b'), await node('c')];
  return {
    nodes,
    settleMs,
    crash: async (index) => {
      const { crash, directory } = at(nodes, index);
      await crash();
      return directory.self;
    },
    restart: async (index) => {
      const restarted = await node(at(nodes, index).directory.self.name);
      nodes[index] = restarted;
      return restarted;
    },
    rejoin: async (index) => {
      const { directory, rejoin } = at(nodes, index);
      const lost = directory.self;
      rejoin();
      return lost;
    },
    close: async () => void (await Promise.all(nodes.map(({ bus }) => bus.close()))),
  };
}

busContract('memory', () => makeBusCluster(false));
busContract('memory, delayed', () => makeBusCluster(true));

nodesContract('memory', async () => {
  const hub = new MemoryHub();
  return {
    settleMs,
    add: async (name, address) => {
      const options = { name, clock: systemClock, log: new CountingLog() };
      const directory = new MemoryNodes(hub, address === undefined ? options : { ...options, address });
      return { directory, freeze: async () => directory.freeze(), thaw: async () => directory.thaw() };
    },
    close: async () => {},
  };
});

presenceContract('memory', () => makePresenceCluster(false), { seeds: 50, steps: 100, timeoutMs: 60_000 });
presenceContract('memory, delayed', () => makePresenceCluster(true), { seeds: 10, steps: 100, timeoutMs: 60_000 });

countersContract('memory', async () => {
  const hub = new MemoryHub();
  const clock = new ManualClock();
  return {
    counters: [0, 1, 2].map(() => new MemoryCounters(hub, clock)),
    advance: async (ms) => clock.advance(ms),
    now: () => clock.now(),
    close: async () => {},
  };
});
