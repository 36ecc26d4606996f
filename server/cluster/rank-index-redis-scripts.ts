import type { Redis } from 'ioredis';
import { rankScripts } from './rank-index-redis-lua.ts';

/** Of one set. */
export type Keys = readonly [meta: string, members: string, values: string, removed: string];
/** And those in which it is listed. */
export type AllKeys = readonly [...Keys, sets: string, board: string];
type Argument = string | number | Buffer;

interface Scripts {
  ranksApplyBuffer(
    ...args: [...Keys, ...Argument[]]
  ): Promise<[state: Buffer, detail?: unknown, ...results: unknown[]]>;
  ranksStandings(...args: [...Keys, ...Argument[]]): Promise<number[] | null>;
  ranksSliceBuffer(
    ...args: [...Keys, instance: string, first: string, last: string, descending: string]
  ): Promise<Buffer[] | null>;
  ranksSeenBuffer(...args: [...Keys, instance: string, ...owners: Buffer[]]): Promise<(Buffer | null)[] | null>;
  ranksBegin(
    ...args: [
      ...AllKeys,
      marker: string,
      instance: string,
      incarnation: string,
      leaseMs: number,
      name: string,
      expiry: number,
    ]
  ): Promise<number>;
  ranksLoad(...args: [...Keys, ...Argument[]]): Promise<number>;
  ranksFinish(...args: [...Keys, instance: string, incarnation: string]): Promise<number>;
  ranksAbandon(...args: [...Keys, instance: string, incarnation: string]): Promise<number>;
  ranksAnnounce(...args: [...Keys, writers: string, instance: string, name: string]): Promise<string>;
  ranksDrop(...args: [...AllKeys, instance: string, name: string, expiry: number]): Promise<number>;
  ranksSweep(...args: [...AllKeys, writers: string, instance: string, name: string, expiry: number]): Promise<number>;
}

export type Scripted = Redis & Scripts;

/** The connection with the scripts as commands. */
export function scripted(redis: Redis): Scripted {
  if (!('ranksApply' in redis)) {
    for (const [name, script] of Object.entries(rankScripts)) redis.defineCommand(name, script);
  }
  return redis as Scripted;
}
