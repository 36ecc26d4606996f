import { describe, expect, it } from 'vitest';
import { allChanges, type StreamMessage } from '../../cluster/stream-frame.ts';
import { CheckFailed } from './presence-check.ts';
import type { PresenceCluster } from './presence-cluster.ts';
import { type SimulationOptions, simulatePresence } from './presence-sim.ts';

export interface SimulationRuns {
  /** How many seeds; they run one after the other. */
  readonly seeds: number;
  readonly steps: number;
  readonly timeoutMs: number;
}

type Fault = NonNullable<SimulationOptions['fault']>;

/** MUSTER_SEED=<seed> in the environment repeats one run. */
export function simulationTests(
  makeCluster: () => Promise<PresenceCluster>,
  runs: SimulationRuns = { seeds: 3, steps: 100, timeoutMs: 60_000 },
): void {
  const simulate = async (options: SimulationOptions): Promise<void> => {
    const cluster = await makeCluster();
    try {
      await simulatePresence(cluster, options);
    } finally {
      await cluster.close();
    }
  };

  describe('simulation', () => {
    const { steps, timeoutMs } = runs;

    it(
      'holds its promises whatever happens in whatever order',
      async () => {
        const wanted = process.env['MUSTER_SEED'];
        const seeds = wanted === undefined ? Array.from({ length: runs.seeds }, (_, i) => i + 1) : [Number(wanted)];
        for (const seed of seeds) await simulate({ seed, steps });
      },
      timeoutMs,
    );

    // The checks are worth something only if they fail when they should.
    const canary = (what: string, makeFault: () => { fault: Fault; done: () => boolean }): void => {
      it(
        `notices when ${what}`,
        async () => {
          const { fault, done } = makeFault();
          const failure: unknown = await simulate({ seed: 5, steps: 60, fault }).catch((error: unknown) => error);
          expect(done()).toBe(true);
          expect(failure).toBeInstanceOf(CheckFailed);
          expect(String(failure)).toContain('seed 5');
        },
        timeoutMs,
      );
    };

    canary('one node misses a join', () => dropAt(1, 'joins'));
    canary('one node misses a leave', () => dropAt(2, 'leaves'));
    canary('all nodes miss a join', () => dropAt('all', 'joins'));
    canary('all nodes miss a leave', () => dropAt('all', 'leaves'));
    canary('one node hears an event twice', () => once(1, (message) => [message, message]));
    canary('one node hears two frames in the other order', swapAt1);

    it(
      'holds for the seed of the canaries when there is no fault',
      async () => {
        await simulate({ seed: 5, steps: 60 });
      },
      timeoutMs,
    );
  });
}

const isEvent = (message: StreamMessage): boolean => message.kind === 'presences' || message.kind === 'hidden';

const isPure = (message: StreamMessage, kind: 'joins' | 'leaves'): boolean =>
  isEvent(message) && allChanges(message)[kind === 'joins' ? 'leaves' : 'joins'].length === 0;

/** Drops the third event that is nothing but joins, or leaves, that reaches the node (or the same one on all). */
function dropAt(where: number | 'all', kind: 'joins' | 'leaves'): { fault: Fault; done: () => boolean } {
  const seen = new Map<number, number>();
  let dropped = 0;
  return {
    fault: (node, message) => {
      if ((where !== 'all' && node !== where) || !isPure(message, kind)) return [message];
      const count = (seen.get(node) ?? 0) + 1;
      seen.set(node, count);
      if (count !== 3) return [message];
      dropped++;
      return [];
    },
    done: () => dropped > 0,
  };
}

function once(
  where: number,
  change: (message: StreamMessage) => StreamMessage[],
): { fault: Fault; done: () => boolean } {
  let done = false;
  return {
    fault: (node, message) => {
      if (done || node !== where || !isEvent(message)) return [message];
      done = true;
      return change(message);
    },
    done: () => done,
  };
}

/** Holds an event back until the next frame of its stream has been heard. */
function swapAt1(): { fault: Fault; done: () => boolean } {
  let held: StreamMessage | undefined;
  let done = false;
  return {
    fault: (node, message) => {
      if (node !== 1 || done) return [message];
      if (held === undefined && isEvent(message)) {
        held = message;
        return [];
      }
      if (held === undefined || message.key !== held.key) return [message];
      done = true;
      return [message, held];
    },
    done: () => done,
  };
}
