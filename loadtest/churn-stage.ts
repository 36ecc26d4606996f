import { createTestSchema } from '../server/testing/database.ts';
import startPostgres from '../server/testing/global-setup.ts';
import { type ProcessNode, startProcessNode } from '../server/testing/process-node.ts';
import { startTestRedis } from '../server/testing/redis.ts';
import { Gauges, nodeName } from './churn-gauges.ts';
import { lifetimes } from './churn-users.ts';

/** Connections of a node that stay open when it is idle. */
const sharedClients = 4;

/** The nodes of a run, with what they stand on and what looks at them. */
export class Stage {
  readonly nodes: ProcessNode[] = [];
  /** What has to be released, last first. */
  readonly #releases: (() => Promise<unknown>)[] = [];

  /** @param listeners the listener of each node. To be torn down even when this fails. */
  async setUp(listeners: readonly string[]): Promise<Gauges> {
    this.#releases.push(await startPostgres());
    const schema = await createTestSchema();
    this.#releases.push(() => schema.drop());
    const redis = await startTestRedis();
    this.#releases.push(() => redis.stop());
    for (const [index, listener] of listeners.entries()) {
      const settings = {
        name: nodeName(index),
        'database.url': schema.url,
        'database.shared_clients': String(sharedClients),
        'redis.url': redis.url,
        'socket.listener': listener,
        'session.token_expiry_sec': String(lifetimes.sessionSec),
        'session.refresh_token_expiry_sec': String(lifetimes.refreshSec),
        // Full before the baseline is taken.
        'limits.token_cache': '500',
        // Silent sockets do not hold up the end for long.
        'socket.ping_period_ms': '5000',
        'socket.pong_wait_ms': '15000',
      };
      const node = await startProcessNode(settings, { inspect: true });
      this.#releases.push(() => node.stop());
      this.nodes.push(node);
    }
    const gauges = await Gauges.open(this.nodes, redis.url, schema.url);
    this.#releases.push(() => gauges.close());
    return gauges;
  }

  async tearDown(): Promise<void> {
    for (const release of this.#releases.splice(0).reverse()) {
      await release().catch((error) => console.error(error));
    }
  }
}
