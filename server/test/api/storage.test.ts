import { describe, expect, it } from 'vitest';
import { nilUuid } from '../../platform/ids.ts';
import { sleep } from '../../testing/wait.ts';
import {
  badUserId,
  describeStorage,
  md5,
  namesMissing,
  notAnObject,
  permissionDenied,
  succeeded,
  versionCheckFailed,
  writeFailed,
} from './storage-support.ts';

// Writing and reading (spec: storage-wallet-purchases.md, section 8, by its numbers).

const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6}|\.\d{9})?Z$/;
const wholeSeconds = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const badRead = { code: 3, message: 'Invalid Read permission supplied. It must be either 0, 1 or 2.' };
const badWrite = { code: 3, message: 'Invalid Write permission supplied. It must be either 0 or 1.' };

describeStorage('storage', (s) => {
  describe('writes', () => {
    it('1: acks a write with the version, the owner and the times', async () => {
      const value = '{"hp":100}';
      const [ack] = await s.a.write({ collection: s.c, key: 'k', value });
      expect(ack).toEqual({
        collection: s.c,
        key: 'k',
        version: md5(value),
        user_id: s.a.id,
        create_time: expect.stringMatching(timePattern),
        update_time: ack?.create_time,
      });
    });

    it('2: gives a new object to its owner alone', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{"hp": 100}' });
      const object = await s.a.readOwn(s.c, 'k');
      expect(object).toMatchObject({ user_id: s.a.id, permission_read: 1, permission_write: 1 });
      expect(JSON.parse(object?.value ?? '')).toEqual({ hp: 100 });
      expect(object?.create_time).toMatch(wholeSeconds);
      expect(object?.update_time).toMatch(wholeSeconds);
    });

    it('3: versions the text as sent, and answers the text as stored', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{"a":1}' });
      expect(await s.a.readOwn(s.c, 'k')).toMatchObject({ version: md5('{"a":1}'), value: '{"a": 1}' });
    });

    it.each(['[1]', 'null', '1', '"{}"', ' [ {} ]'])('4: refuses %s, which is no object', async (value) => {
      expect(await s.a.tryWrite({ collection: s.c, key: 'k', value })).toMatchObject(notAnObject);
    });

    it.each(['not json', '{', '{"a":1}}', '{"a":1,}', "{'a':1}", '{"a":01}', '{"a":NaN}', '\ufeff{}', '{} {}'])(
      '5: refuses %j, which is no JSON',
      async (value) => {
        expect(await s.a.tryWrite({ collection: s.c, key: 'k', value })).toMatchObject(notAnObject);
      },
    );

    it('6: refuses an empty value', async () => {
      expect(await s.a.tryWrite({ collection: s.c, key: 'k', value: '' })).toMatchObject(namesMissing);
    });

    it('7: refuses an empty key or collection', async () => {
      expect(await s.a.tryWrite({ collection: s.c, key: '', value: '{}' })).toMatchObject(namesMissing);
      expect(await s.a.tryWrite({ collection: '', key: 'k', value: '{}' })).toMatchObject(namesMissing);
    });

    it.each([3, -1, 2147483647])('8: refuses read permission %d', async (permission_read) => {
      const outcome = await s.a.tryWrite({ collection: s.c, key: 'k', value: '{}', permission_read });
      expect(outcome).toMatchObject(badRead);
    });

    it.each([2, -1])('9: refuses write permission %d', async (permission_write) => {
      const outcome = await s.a.tryWrite({ collection: s.c, key: 'k', value: '{}', permission_write });
      expect(outcome).toMatchObject(badWrite);
    });

    it('checks names, then permissions, then the value, object by object, before anything is written', async () => {
      const bad = { collection: s.c, key: 'k', value: 'x', permission_read: 9, permission_write: 9 };
      expect(await s.a.tryWrite({ ...bad, key: '' })).toMatchObject(namesMissing);
      expect(await s.a.tryWrite(bad)).toMatchObject(badRead);
      expect(await s.a.tryWrite({ ...bad, permission_read: 0 })).toMatchObject(badWrite);
      const good = { collection: s.c, key: 'good', value: '{}' };
      expect(await s.a.tryWrite(good, { ...bad, permission_read: 0 }, { ...bad, key: '' })).toMatchObject(badWrite);
      expect(await s.a.readOwn(s.c, 'good')).toBeUndefined();
    });

    it('10: answers nothing to a write of nothing', async () => {
      expect(succeeded(await s.a.call('WriteStorageObjects', {}))).toEqual({});
      expect(succeeded(await s.a.tryWrite())).toEqual({});
    });

    it('11: inserts with version * only what is not there', async () => {
      const object = { collection: s.c, key: 'k', value: '{"n":1}', version: '*' };
      expect((await s.a.write(object))[0]?.version).toBe(md5('{"n":1}'));
      expect(await s.a.tryWrite(object)).toMatchObject(versionCheckFailed);
      expect(await s.a.tryWrite({ ...object, value: '{"n":2}' })).toMatchObject(versionCheckFailed);
      expect((await s.a.readOwn(s.c, 'k'))?.value).toBe('{"n": 1}');
    });

    it('12: refuses a version of what is not there', async () => {
      const object = { collection: s.c, key: 'k', value: '{}', version: md5('anything') };
      expect(await s.a.tryWrite(object)).toMatchObject(versionCheckFailed);
      expect(await s.a.readOwn(s.c, 'k')).toBeUndefined();
    });

    it('13: overwrites only the version it was told', async () => {
      const [first] = await s.a.write({ collection: s.c, key: 'k', value: '{"n":1}' });
      const version = first?.version ?? '';
      const [second] = await s.a.write({ collection: s.c, key: 'k', value: '{"n":2}', version });
      expect(second?.version).toBe(md5('{"n":2}'));
      expect(second?.create_time).toBe(first?.create_time);
      const stale = { collection: s.c, key: 'k', value: '{"n":3}', version };
      expect(await s.a.tryWrite(stale)).toMatchObject(versionCheckFailed);
      expect(await s.a.tryWrite({ ...stale, version: md5('{"n":2}').toUpperCase() })).toMatchObject(versionCheckFailed);
      expect((await s.a.readOwn(s.c, 'k'))?.value).toBe('{"n": 2}');
    });

    it('14: rewrites the same value over its own version, at a new time', async () => {
      const object = { collection: s.c, key: 'k', value: '{"n":1}' };
      const [first] = await s.a.write(object);
      await sleep(2);
      const [again] = await s.a.write({ ...object, version: md5(object.value) });
      expect(again).toMatchObject({ version: first?.version, create_time: first?.create_time });
      expect(micros(again?.update_time)).toBeGreaterThan(micros(first?.update_time));
    });

    it('15: leaves an identical object alone when no version is given', async () => {
      const object = { collection: s.c, key: 'k', value: '{"n":1}', permission_read: 2, permission_write: 0 };
      const [first] = await s.a.write({ ...object, permission_write: 1 });
      await sleep(2);
      expect(await s.a.write({ ...object, permission_write: 1 })).toEqual([first]);
      const [changed] = await s.a.write(object);
      expect(changed?.version).toBe(first?.version);
      expect(micros(changed?.update_time)).toBeGreaterThan(micros(first?.update_time));
    });

    it('16: refuses to overwrite what nobody may write, whatever the version', async () => {
      const object = { collection: s.c, key: 'k', value: '{"n":1}', permission_write: 0 };
      await s.a.write(object);
      expect(await s.a.tryWrite({ ...object, value: '{"n":2}' })).toMatchObject(permissionDenied);
      expect(await s.a.tryWrite(object)).toMatchObject(permissionDenied);
      expect(await s.a.tryWrite({ ...object, version: md5('stale') })).toMatchObject(permissionDenied);
      expect(await s.a.tryWrite({ ...object, version: md5(object.value) })).toMatchObject(permissionDenied);
    });

    it('17: tells of the version first when * meets what nobody may write', async () => {
      const object = { collection: s.c, key: 'k', value: '{}', permission_write: 0 };
      await s.a.write(object);
      expect(await s.a.tryWrite({ ...object, version: '*' })).toMatchObject(versionCheckFailed);
    });

    it('18: hides what nobody may read, also from its owner', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 0 });
      expect(succeeded(await s.a.tryRead({ collection: s.c, key: 'k', user_id: s.a.id }))).toEqual({});
      expect(succeeded(await s.a.tryList({ collection: s.c, user_id: s.a.id, limit: 10 }))).toEqual({});
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 1 });
      expect(await s.a.readOwn(s.c, 'k')).toBeDefined();
    });

    it('19: writes all of a batch or nothing', async () => {
      const batch = [
        { collection: s.c, key: 'k1', value: '{}' },
        { collection: s.c, key: 'k2', value: '{}', version: md5('none') },
      ];
      expect(await s.a.tryWrite(...batch)).toMatchObject(versionCheckFailed);
      expect(await s.a.readOwn(s.c, 'k1')).toBeUndefined();
    });

    it('20: acks a batch in the order it was asked in', async () => {
      const keys = ['z', 'a', 'm'];
      const acks = await s.a.write(...keys.map((key) => ({ collection: s.c, key, value: `{"k":"${key}"}` })));
      expect(acks.map(({ key, version }) => [key, version])).toEqual(keys.map((key) => [key, md5(`{"k":"${key}"}`)]));
    });

    it('21: writes an object twice in one batch, the last one wins', async () => {
      const object = { collection: s.c, key: 'k' };
      const acks = await s.a.write({ ...object, value: '{"n":1}' }, { ...object, value: '{"n":2}' });
      expect(acks.map(({ version }) => version)).toEqual([md5('{"n":1}'), md5('{"n":2}')]);
      expect((await s.a.readOwn(s.c, 'k'))?.value).toBe('{"n": 2}');
    });

    it('lets each write of a batch see those before it', async () => {
      const object = { collection: s.c, key: 'k', value: '{"n":1}' };
      expect(await s.a.tryWrite({ ...object, version: '*' }, { ...object, version: '*' })).toMatchObject(
        versionCheckFailed,
      );
      expect(await s.a.tryWrite({ ...object, permission_write: 0 }, object)).toMatchObject(permissionDenied);
      expect(await s.a.readOwn(s.c, 'k')).toBeUndefined();
      await s.a.write({ ...object, version: '*' }, { ...object, value: '{"n":2}', version: md5(object.value) });
      expect((await s.a.readOwn(s.c, 'k'))?.value).toBe('{"n": 2}');
    });

    it('22: sets both permissions anew with each write', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 2 });
      expect(await s.a.readOwn(s.c, 'k')).toMatchObject({ permission_read: 2, permission_write: 1 });
      await s.a.write({ collection: s.c, key: 'k', value: '{}' });
      expect(await s.a.readOwn(s.c, 'k')).toMatchObject({ permission_read: 1, permission_write: 1 });
    });

    it('23: fails on names beyond 128 characters, which count as characters and not as bytes', async () => {
      const value = '{}';
      expect(await s.a.tryWrite({ collection: s.c, key: 'k'.repeat(129), value })).toMatchObject(writeFailed);
      expect(await s.a.tryWrite({ collection: 'c'.repeat(129), key: 'k', value })).toMatchObject(writeFailed);
      const key = '😀'.repeat(128);
      await s.a.write({ collection: s.c, key, value });
      expect(await s.a.readOwn(s.c, key)).toMatchObject({ key });
      expect(await s.a.readOwn(s.c, 'k'.repeat(129))).toBeUndefined();
    });
  });

  describe('reads', () => {
    it('24: shows others what is public, and passes over the rest', async () => {
      await s.a.write(
        { collection: s.c, key: 'public', value: '{}', permission_read: 2 },
        { collection: s.c, key: 'private', value: '{}' },
        { collection: s.c, key: 'hidden', value: '{}', permission_read: 0 },
      );
      const ids = ['private', 'public', 'hidden', 'missing'].map((key) => ({
        collection: s.c,
        key,
        user_id: s.a.id,
      }));
      expect((await s.b.read(...ids)).map(({ key }) => key)).toEqual(['public']);
      expect((await s.a.read(...ids)).map(({ key }) => key)).toEqual(['private', 'public']);
      for (const id of ids) expect(await s.b.read(id)).toHaveLength(id.key === 'public' ? 1 : 0);
    });

    it('25: looks among the objects of the system when no owner is given', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}', permission_read: 2 });
      expect(succeeded(await s.a.tryRead({ collection: s.c, key: 'k' }))).toEqual({});
    });

    it.each(['abc', nilUuid, `{${nilUuid}}`, 'a'.repeat(10_000)])('26: refuses the owner %.60s', async (user_id) => {
      expect(await s.a.tryRead({ collection: s.c, key: 'k', user_id })).toMatchObject(badUserId);
    });

    it('26: takes an owner in any spelling of a UUID', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{}' });
      const { id } = s.a;
      for (const user_id of [id.toUpperCase(), id.replaceAll('-', ''), `{${id}}`, `urn:uuid:${id}`]) {
        expect(await s.a.read({ collection: s.c, key: 'k', user_id })).toMatchObject([{ user_id: id }]);
      }
    });

    it('27: answers nothing to a read of nothing', async () => {
      expect(succeeded(await s.a.call('ReadStorageObjects', {}))).toEqual({});
      expect(succeeded(await s.a.tryRead())).toEqual({});
    });

    it('refuses empty names in a read', async () => {
      expect(await s.a.tryRead({ collection: '', key: 'k' })).toMatchObject(namesMissing);
      expect(await s.a.tryRead({ collection: s.c, key: '' })).toMatchObject(namesMissing);
    });

    it('answers in the order of the question, each object once', async () => {
      const keys = ['m', 'z', 'a'];
      await s.a.write(...keys.map((key) => ({ collection: s.c, key, value: '{}' })));
      const ids = [...keys, 'missing', 'a', 'm'].map((key) => ({ collection: s.c, key, user_id: s.a.id }));
      expect((await s.a.read(...ids)).map(({ key }) => key)).toEqual(keys);
    });

    it('28: shows players what server code stored for all', async () => {
      const { storage } = s.server.features.storage;
      const object = { collection: s.c, key: 'k', ownerId: nilUuid, value: '{"m":1}', version: '', permissionWrite: 0 };
      await storage.write('server', [{ ...object, permissionRead: 2 }]);
      expect(await s.a.read({ collection: s.c, key: 'k' })).toMatchObject([
        { user_id: nilUuid, value: '{"m": 1}', permission_read: 2, permission_write: 0 },
      ]);
      await storage.write('server', [{ ...object, permissionRead: 1 }]);
      expect(await s.a.read({ collection: s.c, key: 'k' })).toEqual([]);
    });
  });

  describe('without a session', () => {
    it.each(['ReadStorageObjects', 'WriteStorageObjects', 'DeleteStorageObjects', 'ListStorageObjects'])(
      '67: refuses %s with a garbage token',
      async (method) => {
        const stranger = s.a.withToken('garbage');
        expect(await stranger.call(method, { collection: s.c })).toMatchObject({
          code: 16,
          message: 'Auth token invalid',
        });
      },
    );
  });
});

/** Microseconds since the epoch, which a Date would cut to milliseconds. */
function micros(time = ''): number {
  const fraction = /\.(\d+)Z$/.exec(time)?.[1] ?? '';
  return Math.floor(Date.parse(time) / 1000) * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
