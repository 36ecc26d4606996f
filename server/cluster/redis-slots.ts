import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A Redis Cluster, version 7 or later: some of its servers, by which the others are found. */
export interface RedisClusterServer {
  readonly cluster: readonly Address[];
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ConnectionOptions;
  /** How this node reaches a server that the cluster calls by that address. */
  readonly reach?: (address: Address) => Address;
}

/** An answer is good for all who ask within this time. */
const freshMs = 100;

/** The next server is asked when one has not answered for so long. */
const staggerMs = 150;

/** Servers that are asked at a time. */
const maxAsked = 8;

interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly master: Address;
}

/**
 * Who owns which slot of a Redis Cluster, as its servers say. What one says may be out of date, and whoever connects
 * finds that out; so each time another one is asked first.
 */
export class SlotMap {
  readonly #server: RedisClusterServer;
  readonly #timeoutMs: number;
  #masters: readonly Address[] = [];
  #hint: Address | undefined;
  #turn = 0;
  #ranges: Promise<readonly SlotRange[]> | undefined;
  #askedAt = 0;

  constructor(server: RedisClusterServer, timeoutMs: number) {
    this.#server = server;
    this.#timeoutMs = timeoutMs;
  }

  /** Where the slot's master is. Rejects when no server can be asked, or nobody has the slot. */
  async owner(slot: number): Promise<Address> {
    const now = performance.now();
    if (this.#ranges === undefined || now - this.#askedAt > freshMs) {
      this.#askedAt = now;
      this.#ranges = this.#ask();
    }
    const ranges = await this.#ranges;
    const found = ranges.find(({ first, last }) => first <= slot && slot <= last);
    if (found === undefined) throw new Error('no server of the Redis Cluster owns the slot');
    return found.master;
  }

  /** A server has said where the slot is now: that one is asked first. */
  moved(text: string): void {
    const [, host, port] = /\bMOVED \d+ (\S*):(\d+)/.exec(text) ?? [];
    if (!host || !port) return;
    this.#hint = this.#reach({ host, port: Number(port) });
    this.#ranges = undefined;
  }

  async #ask(): Promise<readonly SlotRange[]> {
    const known = [
      ...new Map([...this.#masters, ...this.#server.cluster.map((each) => this.#reach(each))].map(byName)).values(),
    ];
    const start = this.#turn++ % known.length;
    const hint = this.#hint === undefined ? [] : [this.#hint];
    this.#hint = undefined;
    const asked = [...hint, ...known.slice(start), ...known.slice(0, start)].slice(0, maxAsked);
    const end = new AbortController();
    try {
      const ranges = await Promise.any(asked.map((address, i) => this.#askOne(address, i * staggerMs, end.signal)));
      this.#masters = [...new Map(ranges.map(({ master }) => byName(master))).values()];
      return ranges;
    } catch (error) {
      const [first] = error instanceof AggregateError ? error.errors : [error];
      throw new Error(`no server of the Redis Cluster answers: ${first instanceof Error ? first.message : first}`);
    } finally {
      end.abort();
    }
  }

  async #askOne(address: Address, delayMs: number, signal: AbortSignal): Promise<readonly SlotRange[]> {
    if (delayMs > 0) await sleep(delayMs, undefined, { signal, ref: false });
    const { username, password, tls } = this.#server;
    const redis = new Redis({
      ...address,
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      ...(tls ? { tls } : {}),
      lazyConnect: true,
      retryStrategy: () => null,
      enableReadyCheck: false,
      disableClientInfo: true,
      maxRetriesPerRequest: 0,
      connectTimeout: this.#timeoutMs,
      commandTimeout: this.#timeoutMs,
      disconnectTimeout: 100,
    });
    let reason: Error | undefined;
    redis.on('error', (error) => {
      reason = error;
    });
    const stop = (): void => redis.disconnect();
    signal.addEventListener('abort', stop);
    try {
      const reply: SlotsReply = await redis.cluster('SLOTS');
      return reply.map(([first, last, [host, port] = ['', 0]]) => {
        // A server that does not know its own address means the one by which it was asked.
        const master = host && host !== '?' ? this.#reach({ host, port }) : { host: address.host, port };
        return { first, last, master };
      });
    } catch (error) {
      throw reason ?? error;
    } finally {
      signal.removeEventListener('abort', stop);
      redis.disconnect();
    }
  }

  #reach(address: Address): Address {
    return this.#server.reach?.(address) ?? address;
  }
}

/** The first of the servers is the master. */
type SlotsReply = [first: number, last: number, ...servers: [host: string | null, port: number, ...unknown[]][]][];

const byName = (address: Address): [string, Address] => [`${address.host}:${address.port}`, address];

/** Where a connection goes, or went last. */
export interface Target {
  address?: Address;
}

/**
 * What ioredis calls to open a connection, here to the master of the slot.
 *
 * @param target is told where that is
 * @param leader the address to go to instead, if any
 */
export function connectorTo(
  { map, server, slot }: { readonly map: SlotMap; readonly server: RedisClusterServer; readonly slot: number },
  target: Target,
  leader: () => Address | undefined = () => undefined,
): NonNullable<RedisOptions['Connector']> {
  return class SlotConnector extends AbstractConnector {
    constructor(options: unknown) {
      super((options as RedisOptions).disconnectTimeout ?? 0);
    }

    async connect(): Promise<AbstractConnector['stream']> {
      this.connecting = true;
      const address = leader() ?? (await map.owner(slot));
      if (!this.connecting) throw new Error('Connection is closed.');
      target.address = address;
      this.stream = server.tls ? connectTls({ ...address, ...server.tls }) : createConnection({ ...address });
      this.stream.once('error', (error) => {
        this.firstError = error;
      });
      return this.stream;
    }

    /** A replica would hear, and let publish, but not in the order of its master. */
    override check(info: { readonly role?: string }): boolean {
      return info.role !== 'slave';
    }
  };
}

const slots = 16_384;

/** The slot of a Redis Cluster in which a key lies: CRC16 (XMODEM) of what stands in its first braces, or of all of it. */
export function hashSlot(key: string): number {
  const [, tag = key] = /^[^{]*\{([^}]+)\}/.exec(key) ?? [];
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x80_00 ? (crc << 1) ^ 0x10_21 : crc << 1) & 0xff_ff;
  }
  return crc % slots;
}

/** So many hash tags, one in each equal part of the slots, so that servers with equal shares have equally many. */
export function spreadTags(count: number): readonly string[] {
  const tags: string[] = [];
  for (let i = 0, missing = count; missing > 0; i++) {
    const part = Math.floor((hashSlot(`${i}`) * count) / slots);
    if (tags[part] !== undefined) continue;
    tags[part] = `${i}`;
    missing--;
  }
  return tags;
}
