import { expect, it } from 'vitest';
import { ManualClock } from '../../../platform/clock.ts';
import { refusal, Unauthorized } from '../refusals.ts';
import { type AccessToken, AccessTokens } from './access-tokens.ts';

function open() {
  const clock = new ManualClock();
  const tokens = new AccessTokens(clock);
  const counts = { fetched: 0 };
  const fetch = async (): Promise<AccessToken> => ({ token: `token${++counts.fetched}`, expiresIn: 3600 });
  const use = (account = 'a', work = async (token: string) => token) => tokens.use(account, fetch, work);
  return { clock, tokens, counts, use };
}

it('keeps a token until five minutes before it expires', async () => {
  const { clock, use } = open();
  expect(await use()).toBe('token1');
  clock.advance(3_299_999);
  expect(await use()).toBe('token1');
  clock.advance(1);
  expect(await use()).toBe('token2');
});

it('fetches once, however many ask, and for each account by itself', async () => {
  const { counts, use } = open();
  const used = await Promise.all([use(), use(), use('b'), use()]);
  expect(used).toEqual(['token1', 'token1', 'token2', 'token1']);
  expect(counts.fetched).toBe(2);
});

it('keeps nothing of a failure, which all who waited are told', async () => {
  const { tokens, use } = open();
  const fail = () =>
    tokens.use(
      'a',
      () => Promise.reject(new Error('away')),
      async (token) => token,
    );
  expect(await Promise.allSettled([fail(), use()])).toMatchObject([
    { status: 'rejected', reason: { message: 'away' } },
    { status: 'rejected', reason: { message: 'away' } },
  ]);
  expect(await use()).toBe('token1');
});

it('tries once more with a new token when the store does not take the one that was kept', async () => {
  const { counts, use } = open();
  await use();
  const taken = new Set(['token2']);
  const picky = async (token: string) => {
    if (!taken.has(token)) throw new Unauthorized('no');
    return token;
  };
  expect(await Promise.all([use('a', picky), use('a', picky), use('a', picky)])).toEqual(Array(3).fill('token2'));
  expect(counts.fetched).toBe(2);
  taken.clear();
  await expect(use('a', picky)).rejects.toThrow('no');
  expect(counts.fetched).toBe(3);
  await expect(use('a', () => Promise.reject(refusal('other')))).rejects.toThrow('other');
  expect(await use()).toBe('token3');
});

it('forgets the account that came first once there are too many', async () => {
  const { counts, use } = open();
  for (let account = 0; account <= 100; account++) await use(String(account));
  expect(counts.fetched).toBe(101);
  for (let account = 1; account <= 100; account++) await use(String(account));
  expect(counts.fetched).toBe(101);
  await use('0');
  expect(counts.fetched).toBe(102);
});
