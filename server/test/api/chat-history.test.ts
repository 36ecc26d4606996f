import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { callDoor, type Door, type Outcome, restDoor } from '../../testing/doors.ts';
import type { Player } from '../../testing/http.ts';
import type { Envelope, TestSocket } from '../../testing/socket.ts';
import { join, send } from './chat-support.ts';
import { newName, onEachServer } from './socket-support.ts';

const badCursor = { code: 3, message: 'Cursor is invalid or expired.' };
const badChannel = { code: 3, message: 'Invalid channel ID.' };
const badLimit = { code: 3, message: 'Invalid limit - limit must be between 1 and 100.' };

/** A page as its messages' numbers and its cursors. */
interface Page {
  readonly numbers: number[];
  readonly next?: string;
  readonly prev?: string;
  readonly cacheable?: string;
}

onEachServer({}, (realm) => {
  describe.each(['REST', 'call over json', 'call over protobuf'])('%s', (doorName) => {
    let door: Door;
    let player: Player;
    let writer: TestSocket;
    /** A room with messages 1 to 5. */
    let room: string;

    beforeAll(async () => {
      player = await realm.player();
      writer = await realm.connect(player);
      room = await write(newName(), 5);
    });
    beforeEach(async () => {
      door =
        doorName === 'REST'
          ? restDoor(realm.server)
          : await callDoor(realm.server, player.token, doorName.endsWith('json') ? 'json' : 'protobuf');
      writer = await realm.connect(player);
    });
    afterEach(() => door.close());

    async function write(target: string, count: number): Promise<string> {
      const { id } = await join(writer, target);
      for (let n = 1; n <= count; n++) await send(writer, id, JSON.stringify({ n }));
      return id;
    }

    const call = (query: object): Promise<Outcome> => door.call('ListChannelMessages', player.authorization, query);

    async function list(channel_id: string, query: object): Promise<Page> {
      const { code, message, response } = await call({ channel_id, ...query });
      if (code !== 0) throw new Error(`listing failed: ${message}`);
      return {
        numbers: (response.messages ?? []).map(({ content }: Envelope) => JSON.parse(content).n),
        next: response.next_cursor,
        prev: response.prev_cursor,
        cacheable: response.cacheable_cursor,
      };
    }

    const some = expect.any(String);

    test('HI-01: the first page has a next and a cacheable cursor', async () => {
      expect(await list(room, { limit: 2, forward: true })).toEqual({ numbers: [1, 2], next: some, cacheable: some });
    });

    test('HI-02: following the next cursor to the end', async () => {
      const first = await list(room, { limit: 2, forward: true });
      const second = await list(room, { limit: 2, forward: true, cursor: first.next });
      expect(second).toEqual({ numbers: [3, 4], next: some, prev: some, cacheable: some });
      const third = await list(room, { limit: 2, forward: true, cursor: second.next });
      expect(third).toEqual({ numbers: [5], prev: some, cacheable: some });
    });

    test('HI-03: the previous cursor leads back, in the order of the listing', async () => {
      const first = await list(room, { limit: 2, forward: true });
      const second = await list(room, { limit: 2, forward: true, cursor: first.next });
      const back = await list(room, { limit: 2, forward: true, cursor: second.prev });
      expect(back).toEqual({ numbers: [1, 2], next: some, cacheable: some });
      expect((await list(room, { limit: 2, forward: true, cursor: back.next })).numbers).toEqual([3, 4]);
      const third = await list(room, { limit: 2, forward: true, cursor: second.next });
      const middle = await list(room, { limit: 2, forward: true, cursor: third.prev });
      expect(middle).toEqual({ numbers: [3, 4], next: some, prev: some, cacheable: some });
    });

    test('a page back that is not full ends at the beginning', async () => {
      const first = await list(room, { limit: 3, forward: true });
      const second = await list(room, { limit: 3, forward: true, cursor: first.next });
      const back = await list(room, { limit: 100, forward: true, cursor: second.prev });
      expect(back).toEqual({ numbers: [1, 2, 3], next: some, cacheable: some });
    });

    test('newest first, and back again', async () => {
      const first = await list(room, { limit: 2, forward: false });
      expect(first).toEqual({ numbers: [5, 4], next: some, cacheable: some });
      const second = await list(room, { limit: 2, forward: false, cursor: first.next });
      expect(second).toEqual({ numbers: [3, 2], next: some, prev: some, cacheable: some });
      const third = await list(room, { limit: 2, forward: false, cursor: second.next });
      expect(third).toEqual({ numbers: [1], prev: some, cacheable: some });
      const back = await list(room, { limit: 2, forward: false, cursor: third.prev });
      expect(back).toEqual({ numbers: [3, 2], next: some, prev: some, cacheable: some });
    });

    test('a page that is exactly full has no next cursor', async () => {
      expect(await list(room, { limit: 5, forward: true })).toEqual({ numbers: [1, 2, 3, 4, 5], cacheable: some });
    });

    test('HI-04: a cursor is good for its own listing only', async () => {
      const { next, cacheable } = await list(room, { limit: 2, forward: true });
      const other = await write(newName(), 1);
      for (const query of [
        { channel_id: room, forward: false, cursor: next },
        { channel_id: room, forward: false, cursor: cacheable },
        { channel_id: other, forward: true, cursor: next },
        { channel_id: room, forward: true, cursor: 'garbage' },
        { channel_id: room, forward: true, cursor: '!' },
        { channel_id: room, forward: true, cursor: Buffer.from('{}').toString('base64') },
        { channel_id: room, forward: true, cursor: next?.slice(0, -8) },
      ]) {
        expect(await call({ limit: 2, ...query })).toMatchObject(badCursor);
      }
    });

    test('a cursor may be written in URL-safe or standard base64, padded or not', async () => {
      const { next = '' } = await list(room, { limit: 2, forward: true });
      const bare = next.replace(/=+$/, '');
      const standard = bare.replaceAll('-', '+').replaceAll('_', '/');
      const urlSafe = bare.replaceAll('+', '-').replaceAll('/', '_');
      const padding = '='.repeat((4 - (bare.length % 4)) % 4);
      for (const cursor of [standard, urlSafe, standard + padding, urlSafe + padding]) {
        expect((await list(room, { limit: 2, forward: true, cursor })).numbers).toEqual([3, 4]);
      }
    });

    test('HI-05: without a limit there is one message, the oldest', async () => {
      expect((await list(room, {})).numbers).toEqual([1]);
    });

    test.each([0, -1, 101])('a limit of %i is refused', async (limit) => {
      expect(await call({ channel_id: room, limit })).toMatchObject(badLimit);
    });

    test('HI-06: the cacheable cursor leads to what was sent since', async () => {
      const id = await write(newName(), 5);
      const { next } = await list(id, { limit: 4, forward: true });
      const { numbers, cacheable } = await list(id, { limit: 4, forward: true, cursor: next });
      expect(numbers).toEqual([5]);
      const none = await list(id, { limit: 4, forward: true, cursor: cacheable });
      expect(none).toEqual({ numbers: [], cacheable: some });
      await send(writer, id, '{"n":6}');
      for (const cursor of [cacheable, none.cacheable]) {
        expect((await list(id, { limit: 4, forward: true, cursor })).numbers).toEqual([6]);
      }
    });

    test('the cacheable cursor of a backward listing starts at its last, oldest message', async () => {
      const { numbers, cacheable } = await list(room, { limit: 2, forward: false });
      expect(numbers).toEqual([5, 4]);
      expect((await list(room, { limit: 100, forward: true, cursor: cacheable })).numbers).toEqual([5]);
    });

    test('a room without messages has an empty page without cursors', async () => {
      expect(await list(`2...${newName()}`, { limit: 10 })).toEqual({ numbers: [] });
    });

    test("HI-07: direct history by a third user, and a group's, are refused", async () => {
      const direct = await call({ channel_id: `4.${randomUUID()}.${randomUUID()}.` });
      expect(direct).toMatchObject({ code: 3, message: 'Channel not found.' });
      const group = await call({ channel_id: `3.${randomUUID()}..` });
      expect(group).toMatchObject({ code: 3, message: 'Group not found.' });
      expect(await call({ channel_id: `4.${player.id}.${randomUUID()}.` })).toMatchObject({ code: 0 });
    });

    test.each(['x', '5...', '2...', '2.x..r', '1.2.3.4'])('channel id %j is refused', async (channel_id) => {
      expect(await call({ channel_id })).toMatchObject(badChannel);
    });

    test('the limit is checked before the channel, and both before the cursor', async () => {
      expect(await call({ channel_id: 'x', limit: 0, cursor: '!' })).toMatchObject(badLimit);
      expect(await call({ channel_id: 'x', limit: 1, cursor: '!' })).toMatchObject(badChannel);
    });
  });
});
