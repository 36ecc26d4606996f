import { createHash } from 'node:crypto';
import { beforeAll, beforeEach, expect } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import type { Door, Outcome } from '../../testing/doors.ts';
import { bearer, type Player, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import type { TestServer } from '../../testing/server.ts';

/** The request messages in their JSON form; only what a test says is sent. */
export interface WriteObject {
  readonly collection: string;
  readonly key: string;
  readonly value: string;
  readonly version?: string;
  readonly permission_read?: number;
  readonly permission_write?: number;
}

export interface ReadId {
  readonly collection: string;
  readonly key: string;
  readonly user_id?: string;
}

export interface ListQuery {
  readonly collection: string;
  readonly user_id?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

/** The response messages in their JSON form, with the defaults that the wire leaves out. */
export interface StoredObject extends Required<ReadId> {
  readonly value: string;
  readonly version: string;
  readonly permission_read: number;
  readonly permission_write: number;
  readonly create_time: string;
  readonly update_time: string;
}

export type Ack = Pick<StoredObject, 'collection' | 'key' | 'user_id' | 'version' | 'create_time' | 'update_time'>;

export const versionCheckFailed = { code: 3, message: 'Storage write rejected - version check failed.' };
export const permissionDenied = { code: 3, message: 'Storage write rejected - permission denied.' };
export const namesMissing = { code: 3, message: 'Invalid collection or key value supplied. They must be set.' };
export const deleteRejected = {
  code: 3,
  message: 'Storage delete rejected - not found, version check failed, or permission denied.',
};
export const badUserId = { code: 3, message: 'Invalid user ID - make sure user ID is a valid UUID.' };
export const notAnObject = { code: 3, message: 'Value must be a JSON object.' };
export const writeFailed = { code: 13, message: 'Error writing storage objects.' };

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Storage as one player sees it through one door. */
export class StorageClient {
  readonly #door: Pick<Door, 'call'>;
  readonly player: Player;

  constructor(door: Pick<Door, 'call'>, player: Player) {
    this.#door = door;
    this.player = player;
  }

  get id(): string {
    return this.player.id;
  }

  /** The same door, with another token. */
  withToken(token: string): StorageClient {
    return new StorageClient(this.#door, { ...this.player, token, authorization: bearer(token) });
  }

  call(method: string, message: object): Promise<Outcome> {
    return this.#door.call(method, this.player.authorization, message);
  }

  tryWrite(...objects: WriteObject[]): Promise<Outcome> {
    return this.call('WriteStorageObjects', { objects });
  }

  async write(...objects: WriteObject[]): Promise<Ack[]> {
    return succeeded(await this.tryWrite(...objects)).acks ?? [];
  }

  tryRead(...object_ids: ReadId[]): Promise<Outcome> {
    return this.call('ReadStorageObjects', { object_ids });
  }

  async read(...ids: ReadId[]): Promise<StoredObject[]> {
    return (succeeded(await this.tryRead(...ids)).objects ?? []).map(withDefaults);
  }

  /** One of the player's own objects. */
  async readOwn(collection: string, key: string): Promise<StoredObject | undefined> {
    return (await this.read({ collection, key, user_id: this.id }))[0];
  }

  tryDelete(...object_ids: { collection: string; key: string; version?: string }[]): Promise<Outcome> {
    return this.call('DeleteStorageObjects', { object_ids });
  }

  async delete(...ids: { collection: string; key: string; version?: string }[]): Promise<void> {
    expect(succeeded(await this.tryDelete(...ids))).toEqual({});
  }

  tryList(query: ListQuery): Promise<Outcome> {
    return this.call('ListStorageObjects', query);
  }

  async list(query: ListQuery): Promise<{ objects: StoredObject[]; cursor: string }> {
    const { objects = [], cursor = '' } = succeeded(await this.tryList(query));
    return { objects: objects.map(withDefaults), cursor };
  }

  /** All pages; fails when they do not end. */
  async listAll(query: ListQuery): Promise<StoredObject[][]> {
    const pages: StoredObject[][] = [];
    let cursor = '';
    do {
      const page = await this.list(cursor === '' ? query : { ...query, cursor });
      pages.push(page.objects);
      cursor = page.cursor;
    } while (cursor !== '' && pages.length < 50);
    expect(cursor).toBe('');
    return pages;
  }
}

/** The response; fails the test with the error that came in its place. */
export function succeeded(outcome: Outcome): Outcome['response'] {
  expect(outcome).toMatchObject({ code: 0, message: '' });
  return outcome.response;
}

const withDefaults = (object: Partial<StoredObject>): StoredObject =>
  ({ permission_read: 0, permission_write: 0, version: '', ...object }) as StoredObject;

export interface StorageSuite {
  readonly server: TestServer;
  /** Two players, through the door under test. */
  readonly a: StorageClient;
  readonly b: StorageClient;
  /** A collection that only this test uses. */
  readonly c: string;
}

/** Declares the same tests for every door. The suite's fields are there once the tests run. */
export function describeStorage(title: string, define: (suite: StorageSuite) => void): void {
  // As much as REST takes.
  const config = { 'socket.max_message_size_bytes': 262_144 };
  describeDoors(title, { config }, (doorway) => {
    const suite = {} as { -readonly [K in keyof StorageSuite]: StorageSuite[K] };
    beforeAll(async () => {
      suite.server = doorway.server;
      suite.a = new StorageClient(doorway, await signIn(doorway.server));
      suite.b = new StorageClient(doorway, await signIn(doorway.server));
    });
    beforeEach(() => {
      suite.c = unique('c');
    });
    define(suite);
  });
}
