import type { Redis } from 'ioredis';
import { AppError, Code } from '../platform/errors.ts';
import { scriptFrameHeader } from './bus-redis-frame.ts';
import { liveNodesKey } from './nodes-redis-script.ts';
import { type PresenceScript, presenceScripts } from './presence-redis-lua.ts';
import type { RedisLink } from './redis-link.ts';
import { streamKeyTopic } from './stream.ts';

export type Action = 'add' | 'put' | 'del' | 'restore' | 'leave' | 'get';

/** What to do to one presence; see presence-redis-lua.ts. */
export interface Change {
  readonly action: Action;
  /** presenceKey */
  readonly id: string;
  readonly value?: Buffer;
}

export interface StreamChanges {
  /** The stream's key. */
  readonly key: string;
  readonly changes: readonly Change[];
}

/** As whom a script acts. */
export interface Actor {
  readonly name: string;
  readonly epoch: number;
  readonly generation: string;
}

/** What a script said instead of doing anything. */
export type Refusal =
  /** The node's epoch has ended, and what it held was taken from it. */
  | 'swept'
  /** The node is not in the directory under that epoch. */
  | 'unregistered'
  /** Redis has not got what the node wrote. */
  | 'lost'
  /** The node has begun to repair what it wrote since the command was sent. */
  | 'stale';

export class RefusedError extends AppError {
  readonly reason: Refusal;

  constructor(reason: Refusal) {
    super(Code.UNAVAILABLE, refusalTexts[reason]);
    this.reason = reason;
  }
}

const refusalTexts: Readonly<Record<Refusal, string>> = {
  swept: 'this node was given up by the others',
  unregistered: 'this node is not in the cluster at the moment',
  lost: 'presences are being restored',
  stale: 'presences are being restored',
};

/** The topic on which nodes learn what others did to their presences. */
export const noticeTopic = 'presence-notices';

export interface Notice {
  /** The key of the stream. */
  readonly stream: string;
  /** presenceKeys; absent: everybody. */
  readonly fields?: readonly string[];
  readonly stamp: string;
}

/** Presences in one batch of a sweep; one event may hold no more. */
export const sweepBatch = 200;

/** How long it is remembered that an epoch was swept. By then its node has noticed. */
const endMemoryMs = 24 * 60 * 60 * 1000;

type Argument = string | number | Buffer;
type Scripted = Record<`${PresenceScript}Buffer`, (...args: Argument[]) => Promise<[Buffer, number, ...unknown[]]>>;

/** Calls the scripts of presence-redis-lua.ts. Calls made one after the other are carried out in that order. */
export class PresenceCalls {
  readonly #link: RedisLink;
  readonly #prefix: string;
  readonly #places: readonly Argument[];
  /** On a Redis Cluster: a key that is never there. While the slot moves, Redis refuses a script that is called with it. */
  readonly #guard: readonly string[];

  constructor(link: RedisLink) {
    this.#link = link;
    this.#prefix = link.key('presence:');
    this.#guard = link.isCluster ? [`${this.#prefix}guard`] : [];
    this.#places = [
      this.#prefix,
      link.channel(streamKeyTopic('')),
      link.channel(noticeTopic),
      scriptFrameHeader,
      liveNodesKey(link),
    ];
  }

  #hashKey(key: string): string {
    return `${this.#prefix}s:${key}`;
  }

  /** `members`: also gives all presences of the first stream. */
  async change(
    actor: Actor,
    streams: readonly StreamChanges[],
    members = false,
  ): Promise<{ stamp: number; results: (number | Buffer)[]; members: Buffer[] }> {
    const args: Argument[] = [members ? '1' : '0'];
    for (const { key, changes } of streams) {
      args.push(key, changes.length);
      for (const { action, id, value } of changes) args.push(action, id, value ?? '');
    }
    const { stamp, rest } = await this.#call('presenceChange', actor, args);
    return { stamp, results: rest[0] as (number | Buffer)[], members: rest[1] as Buffer[] };
  }

  /** The presenceKeys of what was removed. */
  async removeUser(actor: Actor, key: string, userId: string): Promise<{ stamp: number; ids: string[] }> {
    const pattern = `*.${userId.replaceAll(/[\\*?[\]]/g, '\\$&')}`;
    const { stamp, rest } = await this.#call('presenceRemoveUser', actor, [key, pattern, userId]);
    return { stamp, ids: (rest[0] as Buffer[]).map(String) };
  }

  async close(actor: Actor, key: string): Promise<{ stamp: number; count: number }> {
    const { stamp, rest } = await this.#call('presenceClose', actor, [key]);
    return { stamp, count: rest[0] as number };
  }

  /** `orphan`: only if the directory does not know the node under that epoch. */
  async sweep(
    actor: Actor,
    node: { name: string; epoch: number },
    orphan: boolean,
  ): Promise<{ count: number; more: boolean }> {
    const args = [node.name, node.epoch, orphan ? '1' : '0', sweepBatch, endMemoryMs];
    const { rest } = await this.#call('presenceSweep', actor, args);
    return { count: rest[0] as number, more: rest[1] === 1 };
  }

  /**
   * `intact`: Redis has what the node wrote; `born` changes when Redis has lost everything.
   *
   * @param seen the highest stamp that the node has seen, and the `server` on which that was: that of the last `attach`
   */
  async attach(
    actor: Actor,
    seen: { readonly stamp: number; readonly server: string },
  ): Promise<{ stamp: number; born: string; intact: boolean; generation: string; server: string }> {
    let server = '';
    const { stamp, rest } = await this.#call('presenceAttach', actor, () => {
      server = this.#link.instance;
      return [seen.stamp, seen.server, server];
    });
    const state = String(rest[1]);
    return { stamp, born: String(rest[0]), intact: state === '~', generation: `${actor.generation}${state}`, server };
  }

  async ready(actor: Actor, generation: string): Promise<void> {
    await this.#call('presenceReady', actor, [generation]);
  }

  async detach(actor: Actor): Promise<void> {
    await this.#call('presenceDetach', actor, []);
  }

  async list(key: string): Promise<Buffer[]> {
    return await this.#link.run((redis) => redis.hvalsBuffer(this.#hashKey(key)));
  }

  async count(keys: readonly string[]): Promise<number[]> {
    return await this.#link.run(async (redis) => {
      const pipeline = redis.pipeline();
      for (const key of keys) pipeline.hlen(this.#hashKey(key));
      const replies = (await pipeline.exec()) ?? [];
      return replies.map(([error, count]) => {
        if (error) throw error;
        return count as number;
      });
    });
  }

  /** A page of what Redis says the node holds; begin with ''. The last page is empty. */
  async held({ name, epoch }: Actor, after: string): Promise<{ key: string; id: string; member: string }[]> {
    const index = `${this.#prefix}held:${epoch}:${name}`;
    const from = after === '' ? '-' : `(${after}`;
    const members = await this.#link.run((redis) => redis.zrangebylex(index, from, '+', 'LIMIT', 0, heldPage));
    return members.map((member) => {
      const bytes = Buffer.from(member);
      const start = bytes.indexOf(':') + 1;
      const end = start + Number(bytes.toString('latin1', 0, start - 1));
      return { key: bytes.toString('utf8', start, end), id: bytes.toString('utf8', end), member };
    });
  }

  /** Every epoch of a node that holds presences, or has been able to. */
  async holders(): Promise<{ name: string; epoch: number }[]> {
    const marks = await this.#link.run((redis) => redis.hkeys(`${this.#prefix}marks`));
    return marks.map((mark) => {
      const colon = mark.indexOf(':');
      return { name: mark.slice(colon + 1), epoch: Number(mark.slice(0, colon)) };
    });
  }

  async #call(
    script: PresenceScript,
    { name, epoch, generation }: Actor,
    args: readonly Argument[] | (() => readonly Argument[]),
  ): Promise<{ stamp: number; rest: unknown[] }> {
    const [said, stamp, ...rest] = await this.#link.run((redis) => {
      const own = typeof args === 'function' ? args() : args;
      const call = scripted(redis, this.#link);
      return call[`${script}Buffer`](...this.#guard, name, epoch, generation, ...this.#places, ...own);
    });
    const refusal = String(said);
    if (refusal !== 'ok') throw new RefusedError(refusal as Refusal);
    return { stamp, rest };
  }
}

const heldPage = 500;

/**
 * ioredis sends a script's text with the first call on each connection and its hash from then on, so the calls keep
 * their order; only if somebody empties Redis's script cache is the text sent once more, and late.
 *
 * On a Redis Cluster a slot goes to another server key by key, and a script that came upon a key which has gone would
 * stop half-way. So one that is missing from the start is among its keys: Redis refuses the call before it begins.
 */
function scripted(redis: Redis, { isCluster }: RedisLink): Scripted {
  if (!('presenceChangeBuffer' in redis)) {
    for (const [name, lua] of presenceScripts(isCluster ? 'SPUBLISH' : 'PUBLISH')) {
      redis.defineCommand(name, { lua, numberOfKeys: isCluster ? 1 : 0 });
    }
  }
  return redis as unknown as Scripted;
}
