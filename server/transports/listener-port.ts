import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { ListenerOptions } from './listener.ts';
import { listenError } from './listener-wire.ts';

/**
 * The port that processes with `reusePort` shall share: the wanted one, or a free one for 0. Rejects when somebody has
 * it already. Those who share would not notice: they would serve beside a server that was left behind.
 */
export async function findSharedPort(options: Pick<ListenerOptions, 'address' | 'port'>): Promise<number> {
  const { address, port } = options;
  const probe = createServer();
  try {
    probe.listen({ port, exclusive: true, ...(address === '' ? {} : { host: address }) });
    await once(probe, 'listening');
  } catch (error) {
    throw listenError(options, error);
  }
  const found = (probe.address() as AddressInfo).port;
  probe.close();
  await once(probe, 'close');
  return found;
}
