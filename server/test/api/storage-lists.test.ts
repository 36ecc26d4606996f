import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listObjects } from '../../features/storage/listing.ts';
import { encodeCursor } from '../../platform/cursor.ts';
import { nilUuid } from '../../platform/ids.ts';
import { Database } from '../../store/database.ts';
import { request } from '../../testing/http.ts';
import { quiet } from '../../testing/store.ts';
import {
  badUserId,
  deleteRejected,
  describeStorage,
  md5,
  namesMissing,
  type StoredObject,
  succeeded,
} from './storage-support.ts';

// Deleting and listing (spec: storage-wallet-purchases.md, section 8, by its numbers).

const badLimit = { code: 3, message: 'Invalid limit - limit must be between 1 and 100.' };
const badCursor = { code: 3, message: 'Malformed cursor was used.' };

const keysOf = (objects: readonly StoredObject[]): string[] => objects.map(({ key }) => key);

describeStorage('storage', (s) => {
  describe('deletes', () => {
    it('29: deletes once, the second time there is nothing', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}' });
      await s.a.delete({ collection: s.c, key: 'k' });
      expect(await s.a.readOwn(s.c, 'k')).toBeUndefined();
      expect(await s.a.tryDelete({ collection: s.c, key: 'k' })).toMatchObject(deleteRejected);
    });

    it('30: deletes only the version it was told', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}' });
      for (const version of [md5('other'), '*', md5('{}').toUpperCase()]) {
        expect(await s.a.tryDelete({ collection: s.c, key: 'k', version })).toMatchObject(deleteRejected);
      }
      await s.a.delete({ collection: s.c, key: 'k', version: md5('{}') });
    });

    it('31: keeps what nobody may write', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_write: 0 });
      expect(await s.a.tryDelete({ collection: s.c, key: 'k' })).toMatchObject(deleteRejected);
      expect(await s.a.tryDelete({ collection: s.c, key: 'k', version: md5('{}') })).toMatchObject(deleteRejected);
      expect(await s.a.readOwn(s.c, 'k')).toBeDefined();
    });

    it("does not find other players' objects", async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 2 });
      expect(await s.b.tryDelete({ collection: s.c, key: 'k' })).toMatchObject(deleteRejected);
      expect(await s.a.readOwn(s.c, 'k')).toBeDefined();
    });

    it('deletes what nobody may read', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 0 });
      await s.a.delete({ collection: s.c, key: 'k' });
    });

    it('32: deletes all of a batch or nothing', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}' }, { collection: s.c, key: 'l', value: '{}' });
      const ids = ['k', 'missing', 'l'].map((key) => ({ collection: s.c, key }));
      expect(await s.a.tryDelete(...ids)).toMatchObject(deleteRejected);
      expect(await s.a.readOwn(s.c, 'k')).toBeDefined();
      await s.a.delete({ collection: s.c, key: 'l' }, { collection: s.c, key: 'k' });
      expect(await s.a.readOwn(s.c, 'l')).toBeUndefined();
    });

    it('refuses an object named twice in one batch, and empty names', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}' });
      const id = { collection: s.c, key: 'k' };
      expect(await s.a.tryDelete(id, id)).toMatchObject(deleteRejected);
      expect(await s.a.tryDelete(id, { collection: s.c, key: '' })).toMatchObject(namesMissing);
      expect(await s.a.tryDelete({ collection: '', key: 'k' })).toMatchObject(namesMissing);
      expect(await s.a.readOwn(s.c, 'k')).toBeDefined();
    });

    it('answers nothing to a delete of nothing', async () => {
      expect(succeeded(await s.a.call('DeleteStorageObjects', {}))).toEqual({});
      await s.a.delete();
    });

    it('33: lets server code delete what is not there, unless it names a version', async () => {
      const { storage } = s.server.features.storage;
      const id = { collection: s.c, key: 'k', ownerId: nilUuid };
      await storage.delete('server', [{ ...id, version: '' }]);
      await expect(storage.delete('server', [{ ...id, version: md5('{}') }])).rejects.toMatchObject(deleteRejected);
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_write: 0 });
      await storage.delete('server', [{ ...id, ownerId: s.a.id, version: md5('{}') }]);
      expect(await s.a.readOwn(s.c, 'k')).toBeUndefined();
    });
  });

  describe('lists', () => {
    const write = (who: 'a' | 'b', objects: Record<string, number>) =>
      s[who].write(
        ...Object.entries(objects).map(([key, permission_read]) => ({
          collection: s.c,
          key,
          value: '{}',
          permission_read,
        })),
      );

    it('34: lists one object when no limit is given', async () => {
      await write('a', { k: 1, l: 1 });
      const page = await s.a.list({ collection: s.c, user_id: s.a.id });
      expect(keysOf(page.objects)).toEqual(['k']);
      expect(page.cursor).not.toBe('');
      const last = await s.a.list({ collection: s.c, user_id: s.a.id, cursor: page.cursor });
      expect([keysOf(last.objects), last.cursor]).toEqual([['l'], '']);
    });

    it.each([0, 101, -1, 2147483647])('35: refuses limit %d', async (limit) => {
      expect(await s.a.tryList({ collection: s.c, limit })).toMatchObject(badLimit);
    });

    it('36: refuses a cursor that is none of ours', async () => {
      const id = s.a.id;
      const cursors = [
        '!!!',
        'AAAA',
        encodeCursor('storage', []),
        encodeCursor('storage', ['k', id]),
        encodeCursor('storage', ['k', id, 1.5]),
        encodeCursor('storage', ['k', id, 1e30]),
        encodeCursor('storage', ['k', id, -1]),
        encodeCursor('storage', ['k\0', id, 1]),
        encodeCursor('storage', ['k', 'me', 1]),
        encodeCursor('storage', ['k', `urn:uuid:{${id}`, 1]),
        encodeCursor('storage', ['k', id, '1']),
        encodeCursor('other', ['k', id, 1]),
        Buffer.from('["storage"').toString('base64url'),
        'A'.repeat(5000),
      ];
      for (const cursor of cursors) {
        for (const user_id of [id, s.b.id, '']) {
          const outcome = await s.a.tryList({ collection: s.c, user_id, limit: 1, cursor });
          expect(outcome, cursor).toMatchObject(badCursor);
        }
      }
    });

    it('37: lists own private objects before own public ones', async () => {
      await write('a', { a: 2, b: 1, c: 2, d: 1, e: 0 });
      const page = await s.a.list({ collection: s.c, user_id: s.a.id, limit: 10 });
      expect(keysOf(page.objects)).toEqual(['b', 'd', 'a', 'c']);
      expect(page.objects.map((object) => object.permission_read)).toEqual([1, 1, 2, 2]);
      expect(page.cursor).toBe('');
    });

    it("38: lists another player's public objects", async () => {
      await write('a', { d: 2, c: 1, b: 2, a: 0 });
      const page = await s.b.list({ collection: s.c, user_id: s.a.id, limit: 10 });
      expect(keysOf(page.objects)).toEqual(['b', 'd']);
    });

    it('39: lists the public objects of all by key, then owner', async () => {
      await write('a', { k: 2, m: 2, x: 1 });
      await write('b', { k: 2, l: 2, y: 0 });
      const page = await s.a.list({ collection: s.c, limit: 10 });
      const owners = [s.a.id, s.b.id].sort();
      expect(page.objects.map(({ key, user_id }) => [key, user_id])).toEqual([
        ['k', owners[0]],
        ['k', owners[1]],
        ['l', s.b.id],
        ['m', s.a.id],
      ]);
    });

    it.each([1, 2, 3, 5, 6])('40: pages of %d hold everything once', async (limit) => {
      await write('a', { a: 2, b: 1, c: 2, d: 1, e: 2 });
      await write('b', { a: 2, e: 2 });
      const sizes = (count: number) =>
        Array.from({ length: Math.ceil(count / limit) }, (_, page) => Math.min(limit, count - page * limit));
      const cases = [
        { user_id: s.a.id, expected: ['b', 'd', 'a', 'c', 'e'] },
        { user_id: s.b.id, expected: ['a', 'e'] },
        { user_id: '', expected: ['a', 'a', 'c', 'e', 'e'] },
      ];
      for (const { user_id, expected } of cases) {
        const pages = await s.a.listAll({ collection: s.c, user_id, limit });
        expect(pages.map((page) => page.length)).toEqual(sizes(expected.length));
        expect(keysOf(pages.flat())).toEqual(expected);
        expect(new Set(pages.flat().map(({ key, user_id: owner }) => `${key} ${owner}`)).size).toBe(expected.length);
      }
    });

    it('41: lists the same by path and by query', async () => {
      await write('a', { a: 2, b: 1 });
      const options = { authorization: s.a.player.authorization };
      const byPath = await request(s.server, 'GET', `/v2/storage/${s.c}/${s.a.id}?limit=10`, options);
      const byQuery = await request(s.server, 'GET', `/v2/storage/${s.c}?user_id=${s.a.id}&limit=10`, options);
      const byCamelCase = await request(s.server, 'GET', `/v2/storage/${s.c}?userId=${s.a.id}&limit=10`, options);
      expect(byPath.body.objects).toHaveLength(2);
      expect(byQuery.text).toBe(byPath.text);
      expect(byCamelCase.text).toBe(byPath.text);
      const page = await s.a.list({ collection: s.c, user_id: s.a.id, limit: 10 });
      expect(keysOf(page.objects)).toEqual(['b', 'a']);
    });

    it('refuses an owner that is no UUID', async () => {
      expect(await s.a.tryList({ collection: s.c, user_id: 'abc', limit: 10 })).toMatchObject(badUserId);
    });

    it('lists the public objects of the system by the nil UUID', async () => {
      const object = { collection: s.c, ownerId: nilUuid, value: '{}', version: '', permissionWrite: 0 };
      await s.server.features.storage.storage.write('server', [
        { ...object, key: 'public', permissionRead: 2 },
        { ...object, key: 'private', permissionRead: 1 },
      ]);
      await write('a', { mine: 2 });
      const page = await s.a.list({ collection: s.c, user_id: nilUuid, limit: 10 });
      expect(page.objects.map(({ key, user_id }) => [key, user_id])).toEqual([['public', nilUuid]]);
    });

    it('takes a cursor along to another listing of the collection', async () => {
      await write('a', { a: 1, b: 2, c: 2 });
      const { cursor } = await s.a.list({ collection: s.c, user_id: s.a.id });
      expect(keysOf((await s.b.list({ collection: s.c, user_id: s.a.id, limit: 10, cursor })).objects)).toEqual([
        'b',
        'c',
      ]);
      expect(keysOf((await s.b.list({ collection: s.c, limit: 10, cursor })).objects)).toEqual(['b', 'c']);
    });

    it('keeps its place while objects come and go', async () => {
      await write('a', { b: 2, d: 2, f: 2, h: 2 });
      const first = await s.a.list({ collection: s.c, limit: 2 });
      expect(keysOf(first.objects)).toEqual(['b', 'd']);
      await s.a.delete({ collection: s.c, key: 'd' });
      await write('b', { a: 2, c: 2, g: 2 });
      const second = await s.a.list({ collection: s.c, limit: 10, cursor: first.cursor });
      expect(keysOf(second.objects)).toEqual(['f', 'g', 'h']);
    });

    it('lists names of any characters', async () => {
      const keys = ['a/b', 'ü?&=#%2F', '😀', ' ', "'; DROP TABLE storage; --", '%_\\'];
      const collection = `${s.c}+ü &%'`;
      await s.a.write(...keys.map((key) => ({ collection, key, value: '{}' })));
      const pages = await s.a.listAll({ collection, user_id: s.a.id, limit: 1 });
      expect(keysOf(pages.flat()).sort()).toEqual([...keys].sort());
      expect(await s.a.list({ collection: '%', user_id: s.a.id, limit: 10 })).toEqual({ objects: [], cursor: '' });
    });

    it('lists what server code stored with read permissions that players cannot set', async () => {
      const object = { collection: s.c, value: '{}', version: '', permissionWrite: 1 };
      await s.server.features.storage.storage.write('server', [
        { ...object, key: 'x', ownerId: s.a.id, permissionRead: 3 },
        { ...object, key: 'y', ownerId: s.a.id, permissionRead: 7 },
        { ...object, key: 'z', ownerId: s.a.id, permissionRead: 2 },
      ]);
      const all = await s.a.listAll({ collection: s.c, limit: 1 });
      expect(keysOf(all.flat())).toEqual(['z', 'x', 'y']);
      expect(keysOf((await s.a.listAll({ collection: s.c, user_id: s.a.id, limit: 1 })).flat())).toEqual([
        'z',
        'x',
        'y',
      ]);
      expect(keysOf((await s.b.listAll({ collection: s.c, user_id: s.a.id, limit: 1 })).flat())).toEqual(['z']);
      expect(await s.a.read({ collection: s.c, key: 'x', user_id: s.a.id })).toEqual([]);
    });

    describe('by server code', () => {
      let db: Database;
      beforeAll(() => {
        db = new Database({ url: s.server.databaseUrl, poolSize: 1, sharedClients: 1 }, quiet);
      });
      afterAll(() => db.close());
      const list = async (ownerId: string | undefined, limit: number) => {
        const keys: string[] = [];
        let cursor = '';
        do {
          const page = await listObjects(db, 'server', { collection: s.c, ownerId, limit, cursor });
          keys.push(...page.objects.map(({ key, user_id }) => `${key}${user_id === s.a.id ? 'A' : 'B'}`));
          cursor = page.cursor;
        } while (cursor !== '');
        return keys;
      };

      it.each([1, 2, 100])('shows everything, pages of %d', async (limit) => {
        await write('a', { c: 0, a: 2, b: 1 });
        await write('b', { a: 0 });
        expect(await list(undefined, limit)).toEqual(['aB', 'cA', 'bA', 'aA']);
        expect(await list(s.a.id, limit)).toEqual(['cA', 'bA', 'aA']);
        const asPlayer = await listObjects(
          db,
          { userId: s.b.id },
          { collection: s.c, ownerId: s.a.id, limit: 10, cursor: '' },
        );
        expect(asPlayer.objects.map(({ key }) => key)).toEqual(['a']);
      });

      it('shows nothing for limit 0', async () => {
        await write('a', { a: 2 });
        const page = await listObjects(db, 'server', {
          collection: s.c,
          ownerId: undefined,
          limit: 0,
          cursor: '',
        });
        expect(page).toEqual({ objects: [], cursor: '' });
      });
    });
  });
});
