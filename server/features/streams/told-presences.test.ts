import { describe, expect, it } from 'vitest';
import type { Presence } from '../../cluster/presence.ts';
import { makeStream, StreamMode } from '../../cluster/stream.ts';
import { ToldPresences } from './told-presences.ts';

const stream = makeStream(StreamMode.STATUS, '', '', 'anybody');

function presence(userId: string, status = '', hidden = false): Presence {
  return { node: 'one', sessionId: `s-${userId}`, userId, username: '', hidden, persistence: false, status, stream };
}

const [ann, bob, cid] = [presence('ann'), presence('bob'), presence('cid')];

describe('a list that arrives after events which are newer', () => {
  it('leaves out who was heard to leave', async () => {
    const told = new ToldPresences();
    const list = await told.whileListing(async () => {
      told.take({ joins: [], leaves: [bob] });
      return [ann, bob];
    });
    expect(list).toEqual([ann]);
    // Neither do the listeners miss a leave later on.
    expect(told.replace([ann])).toEqual({ joins: [], leaves: [] });
  });

  it('has those who came back, and what they are now', async () => {
    const told = new ToldPresences();
    const now = presence('bob', 'busy');
    const list = await told.whileListing(async () => {
      told.take({ joins: [], leaves: [ann] });
      told.take({ joins: [ann], leaves: [] });
      told.take({ joins: [now], leaves: [bob] });
      return [ann, bob, cid];
    });
    expect(list).toEqual([ann, now, cid]);
  });

  it('keeps hidden ones, of whom nobody hears', async () => {
    const told = new ToldPresences();
    const hidden = presence('bob', '', true);
    const list = await told.whileListing(async () => {
      told.take({ joins: [], leaves: [bob] });
      return [ann, hidden];
    });
    expect(list).toEqual([ann, hidden]);
  });

  it('counts for nothing any more once no list is under way', async () => {
    const told = new ToldPresences();
    await told.whileListing(async () => {
      told.take({ joins: [], leaves: [bob] });
      return [];
    });
    expect(await told.whileListing(async () => [bob])).toEqual([bob]);
  });
});
