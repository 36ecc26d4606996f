import { isIP, SocketAddress } from 'node:net';

export interface ClientAddress {
  /** IPv4, or IPv6 in its shortest form; empty when unknown. */
  readonly address: string;
  /** Decimal; empty when unknown. */
  readonly port: string;
}

const unknownClient: ClientAddress = { address: '', port: '' };

/** Longest chain of proxies that is looked at. */
const maxEntries = 64;

/**
 * Where a request came from (spec: http-auth-accounts.md, section 1.12). The header is read from the right, where the
 * nearest proxy writes: the first valid entry counts, unless up to `proxyCount` further positions hold another one.
 * @param forwardedFor all X-Forwarded-For headers joined by commas; empty or undefined when there is none.
 */
export function clientAddress(
  forwardedFor: string | undefined,
  peerAddress: string,
  peerPort: number,
  proxyCount: number,
): ClientAddress {
  if (!forwardedFor) {
    const address = normalize(peerAddress);
    return address === '' ? unknownClient : { address, port: peerPort > 0 ? String(peerPort) : '' };
  }
  const entries = forwardedFor.split(',');
  let found: ClientAddress | undefined;
  let further = 0;
  const lowest = Math.max(0, entries.length - maxEntries);
  for (let i = entries.length - 1; i >= lowest && further <= proxyCount; i--) {
    const entry = parseEntry(entries[i]?.trim() ?? '');
    if (entry !== null && (i === 0 || !isLoopback(entry.address))) found = entry;
    if (found !== undefined) further++;
  }
  return found ?? unknownClient;
}

/**
 * What rate limits count as one client: an IPv4 address, or the /64 network that an IPv6 customer holds at the least.
 */
export function addressNetwork(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const right = tail === '' ? [] : tail.split(':');
    while (left.length + right.length < 8) left.push('0');
    left.push(...right);
  }
  return `${left.slice(0, 4).join(':')}::/64`;
}

/** `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`; null for anything else. */
function parseEntry(entry: string): ClientAddress | null {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(entry);
  const address = normalize(match?.[1] ?? match?.[2] ?? entry);
  const port = match?.[3] ?? '';
  return address === '' || Number(port) > 65535 ? null : { address, port };
}

/** One spelling for each address, so that limits by address cannot be dodged by spelling. Empty when it is none. */
function normalize(text: string): string {
  const address = text.replace(/%.*$/, '');
  const family = isIP(address);
  if (family !== 6) return family === 4 ? address : '';
  const short = new SocketAddress({ address, family: 'ipv6' }).address;
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(short) ? short.slice('::ffff:'.length) : short;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
