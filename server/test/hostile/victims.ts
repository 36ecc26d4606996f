import { randomBytes } from 'node:crypto';
import { createTestSchema } from '../../testing/database.ts';
import { listenerKinds } from '../../testing/node.ts';
import { type ProcessNode, startProcessNode } from '../../testing/process-node.ts';
import { openTestRedis } from '../../testing/redis.ts';
import type { ServerKind } from '../../testing/server.ts';

/** Nodes in processes of their own: one, or two of one cluster. */
export interface Victims {
  readonly nodes: readonly [ProcessNode, ...ProcessNode[]];
  /** Stops them and answers their exit codes. */
  stop(): Promise<(number | null)[]>;
}

export async function startVictims(kind: ServerKind): Promise<Victims> {
  if (kind !== 'two nodes') {
    const node = await startProcessNode({ 'socket.listener': kind });
    return { nodes: [node], stop: async () => [await node.stop()] };
  }
  const [schema, redis] = await Promise.all([createTestSchema(), openTestRedis()]);
  const prefix = `test-${randomBytes(8).toString('hex')}`;
  const start = (name: string, listener = listenerKinds[0] ?? 'auto'): Promise<ProcessNode> =>
    startProcessNode({
      name,
      'socket.listener': listener,
      'database.url': schema.url,
      'redis.url': redis.url,
      'redis.key_prefix': prefix,
    });
  const nodes = await Promise.all([start('one'), start('two', listenerKinds[1])]);
  return {
    nodes,
    async stop() {
      const codes = await Promise.all(nodes.map((node) => node.stop()));
      await Promise.all([schema.drop(), redis.stop()]);
      return codes;
    },
  };
}
