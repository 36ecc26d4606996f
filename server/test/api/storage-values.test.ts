import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeStorage, md5, type StorageClient, writeFailed } from './storage-support.ts';

// Values are stored and hashed as they are sent; what comes back is the database's own text of them.

describeStorage('storage', (s) => {
  let sql: pg.Client;
  beforeAll(async () => {
    sql = new pg.Client(s.server.databaseUrl);
    await sql.connect();
  });
  afterAll(() => sql.end());

  /** What the database makes of the text, by itself. */
  const asStored = async (value: string): Promise<string> =>
    (await sql.query<{ text: string }>('SELECT ($1::jsonb)::text AS text', [value])).rows[0]?.text ?? '';

  const exact: readonly (readonly [string, string])[] = [
    ['64-bit integers', '{"max":9223372036854775807,"min":-9223372036854775808,"beyond":9007199254740993}'],
    [
      'large and fine numbers',
      '{"a":123456789012345678901234567890.123456789,"b":1e100,"c":-0.0,"d":1.50,"e":0.1e-20}',
    ],
    ['the order of keys', '{"b":1,"a":2,"10":3,"2":4,"aa":5}'],
    ['a key twice', '{"a":1,"b":{"x":1,"x":2},"a":3}'],
    ['any spacing', ' \t\r\n{ "a" :\n[ 1 ,2,\t3 ] }\n '],
    ['unicode', '{"grüße":"日本語 😀 \u200b\u2028\u0085","e\u0301":"\u00e9"}'],
    ['escapes', '{"a":"\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001"}'],
    ['keys that name JavaScript members', '{"__proto__":{"x":1},"constructor":{"prototype":null},"toString":1}'],
    ['nothing', '{}'],
    ['empty keys', '{"":{"":[]}}'],
    ['SQL and LIKE', `{"a":"'; DROP TABLE storage; --","b":"%_\\\\","c":"$1 \\u0027"}`],
    ['nesting', `{"a":${'['.repeat(1000)}${']'.repeat(1000)}}`],
    ['100 KB', `{"a":"${'x'.repeat(100_000)}"}`],
  ];

  describe('values', () => {
    it.each(exact)('keeps %s', async (_what, value) => {
      const [ack] = await s.a.write({ collection: s.c, key: 'k', value });
      expect(ack?.version).toBe(md5(value));
      const object = await s.a.readOwn(s.c, 'k');
      expect(object?.value).toBe(await asStored(value));
      expect(object?.version).toBe(md5(value));
      expect((await s.a.list({ collection: s.c, user_id: s.a.id })).objects).toEqual([object]);
      const { rows } = await sql.query('SELECT value::text AS value, version FROM storage WHERE collection = $1', [
        s.c,
      ]);
      expect(rows).toEqual([{ value: object?.value, version: md5(value) }]);
      // The same bytes again are the same version, whatever the database made of them.
      await s.a.write({ collection: s.c, key: 'k', value, version: md5(value) });
    });

    it('keeps the examples to the digit', async () => {
      await s.a.write({ collection: s.c, key: 'k', value: '{"b":9223372036854775807,"a":9007199254740993.10}' });
      expect((await s.a.readOwn(s.c, 'k'))?.value).toBe('{"a": 9007199254740993.10, "b": 9223372036854775807}');
    });

    it('tells texts apart that mean the same', async () => {
      const versions = new Set<string>();
      for (const value of [
        '{"a":1,"b":2}',
        '{"b":2,"a":1}',
        '{"a":1, "b":2}',
        '{"a":1.0,"b":2}',
        '{"\\u0061":1,"b":2}',
      ]) {
        versions.add((await s.a.write({ collection: s.c, key: 'k', value }))[0]?.version ?? '');
      }
      expect(versions.size).toBe(5);
    });

    it('is not fooled by a version that returns with its value', async () => {
      const [a, b] = ['{"n":1}', '{"n":2}'];
      await s.a.write({ collection: s.c, key: 'k', value: a });
      await s.a.write({ collection: s.c, key: 'k', value: b });
      await s.a.write({ collection: s.c, key: 'k', value: a });
      await s.a.write({ collection: s.c, key: 'k', value: b, version: md5(a) });
      expect((await s.a.readOwn(s.c, 'k'))?.version).toBe(md5(b));
    });

    it.each([
      ['NUL escapes', '{"a":"\\u0000"}'],
      ['NUL escapes in keys', '{"\\u0000":1}'],
      ['lone high surrogates', '{"a":"\\ud800"}'],
      ['lone low surrogates', '{"a":"\\udc00\\ud800"}'],
      ['numbers out of range', '{"a":1e200000}'],
      ['nesting beyond what the database takes', `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
    ])('fails on %s, which are JSON but cannot be stored', async (_what, value) => {
      expect(await s.a.tryWrite({ collection: s.c, key: 'k', value })).toMatchObject(writeFailed);
      const batch = [
        { collection: s.c, key: 'good', value: '{}' },
        { collection: s.c, key: 'k', value },
      ];
      expect(await s.a.tryWrite(...batch)).toMatchObject(writeFailed);
      expect(await s.a.readOwn(s.c, 'good')).toBeUndefined();
    });

    it('takes names of any characters, and tells them apart', async () => {
      const keys = [
        'k',
        'K',
        'k ',
        ' k',
        'ｋ',
        'e\u0301',
        '\u00e9',
        '\u200b',
        "'",
        '"',
        '\\',
        '__proto__',
        'constructor',
      ];
      const writes = keys.map((key) => ({ collection: '__proto__', key, value: JSON.stringify({ key }) }));
      await s.a.write(...writes);
      const objects = await s.a.read(...writes.map(({ collection, key }) => ({ collection, key, user_id: s.a.id })));
      expect(objects.map(({ key }) => key)).toEqual(keys);
      for (const { key, value } of objects) expect(JSON.parse(value)).toEqual({ key });
    });

    it('answers 13 to a NUL in a name', async () => {
      expect(await s.a.tryWrite({ collection: s.c, key: 'a\0b', value: '{}' })).toMatchObject(writeFailed);
      expect(await s.a.tryRead({ collection: s.c, key: 'a\0b' })).toMatchObject({
        code: 13,
        message: 'Error reading storage objects.',
      });
      expect(await s.a.tryDelete({ collection: s.c, key: 'a\0b' })).toMatchObject({
        code: 13,
        message: 'Error deleting storage objects.',
      });
      expect(await s.a.tryList({ collection: 'a\0b', limit: 1 })).toMatchObject({
        code: 13,
        message: 'Error listing storage objects.',
      });
    });

    it('takes a batch as large as a request may be', async () => {
      const objects = Array.from({ length: 1000 }, (_, n) => ({ collection: s.c, key: `k${n}`, value: `{"n":${n}}` }));
      const acks = await s.a.write(...objects);
      expect(acks.map(({ key }) => key)).toEqual(objects.map(({ key }) => key));
      expect(await countOf(s.a, s.c)).toBe(1000);
    });
  });
});

async function countOf(client: StorageClient, collection: string): Promise<number> {
  return (await client.listAll({ collection, user_id: client.id, limit: 100 })).flat().length;
}
