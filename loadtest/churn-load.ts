import { sleep } from '../server/testing/wait.ts';
import { type Scene, visit } from './churn-visit.ts';

const tickMs = 10;

/** Visits under way; more are held back, because they would measure this machine and nothing else. */
const maxVisits = 2000;

/**
 * Begins visits at a steady rate, however long they take. When all are over it answers for how many seconds they began.
 * @param signal ends it early.
 */
export async function runVisits(scene: Scene, rate: number, seconds: number, signal: AbortSignal): Promise<number> {
  const began = performance.now();
  const underWay = new Set<Promise<void>>();
  for (let begun = 0; !signal.aborted && begun < rate * seconds; ) {
    const due = Math.min(rate * seconds, Math.floor(((performance.now() - began) * rate) / 1000));
    for (; begun < due; begun++) {
      if (underWay.size >= maxVisits) {
        scene.tally.error('held back: too many visits are under way');
        continue;
      }
      const running = visit(scene, begun).finally(() => underWay.delete(running));
      underWay.add(running);
    }
    await sleep(tickMs);
  }
  const lasted = (performance.now() - began) / 1000;
  await Promise.all(underWay);
  return lasted;
}
