import { describe, expect, it } from 'vitest';
import { MemoryCounters } from '../../cluster/counters-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { ManualClock } from '../../platform/clock.ts';
import { type ConfigOverrides, configFrom } from '../../platform/config.ts';
import { notFound, permissionDenied, unauthenticated, unavailable } from '../../platform/errors.ts';
import { LoginGuard } from './login-guard.ts';

const strict = {
  'limits.login_account_failures': 5,
  'limits.login_account_window_sec': 60,
  'limits.login_account_lock_sec': 30,
  'limits.login_address_failures': 10,
  'limits.login_address_window_sec': 600,
  'limits.login_address_lock_sec': 300,
};

/** Guards of several nodes. */
function setup(config: ConfigOverrides = strict, nodes = 1) {
  const clock = new ManualClock();
  const hub = new MemoryHub();
  const guards = Array.from(
    { length: nodes },
    () => new LoginGuard(new MemoryCounters(hub, clock), configFrom(config).limits),
  );
  return { clock, guards, guard: guards[0] as LoginGuard };
}

const wrong = async (): Promise<never> => {
  throw unauthenticated('Invalid credentials.');
};
const right = async (): Promise<string> => 'welcome';
const outcome = (work: Promise<string>): Promise<string> => work.catch((error: Error) => error.message);
/** What each of so many sign-ins in a row answers. */
async function times(count: number, signIn: () => Promise<string>): Promise<string[]> {
  const outcomes: string[] = [];
  for (let i = 0; i < count; i++) outcomes.push(await outcome(signIn()));
  return outcomes;
}

const locked = 'Try again later.';
const invalid = 'Invalid credentials.';

describe('the guard of sign-ins', () => {
  it('locks an account at its limit, for the right password too, and for as long as it says', async () => {
    const { clock, guard } = setup();
    expect(await times(6, () => guard.onAccount('a', wrong))).toEqual([...Array(5).fill(invalid), locked]);
    expect(await outcome(guard.onAccount('a', right))).toBe(locked);
    expect(await outcome(guard.onAccount('b', right))).toBe('welcome');
    clock.advance(29_999);
    expect(await outcome(guard.onAccount('a', right))).toBe(locked);
    clock.advance(1);
    expect(await outcome(guard.onAccount('a', right))).toBe('welcome');
  });

  it('forgives an account by the right password, and an address never', async () => {
    const { guard } = setup();
    for (let round = 0; round < 3; round++) {
      expect(await times(3, () => guard.fromAddress('192.0.2.1', () => guard.onAccount('a', wrong)))).not.toContain(
        locked,
      );
      expect(await outcome(guard.fromAddress('192.0.2.1', () => guard.onAccount('a', right)))).toBe('welcome');
    }
    expect(await times(2, () => guard.fromAddress('192.0.2.1', () => guard.onAccount('a', wrong)))).toEqual([
      invalid,
      locked,
    ]);
    expect(await outcome(guard.fromAddress('192.0.2.2', () => guard.onAccount('a', right)))).toBe('welcome');
  });

  it('counts an IPv6 network as one address', async () => {
    const { guard } = setup();
    let host = 0;
    const attempt = () => guard.fromAddress(`2001:db8::${(++host).toString(16)}`, wrong);
    expect((await times(11, attempt)).at(-1)).toBe(locked);
    expect(await outcome(guard.fromAddress('2001:db8:0:1::1', right))).toBe('welcome');
  });

  it('locks what belongs to nobody like an account', async () => {
    const { guard } = setup();
    const nobody = async (): Promise<never> => {
      throw notFound('User account not found.');
    };
    expect((await times(6, () => guard.onUnknown('email', 'x@example.com', nobody))).at(-1)).toBe(locked);
    expect(await outcome(guard.onUnknown('username', 'x@example.com', right))).toBe('welcome');
  });

  it('lets no more guesses under way than may fail, over all nodes', async () => {
    const { guards } = setup(strict, 3);
    let checks = 0;
    const slowly = async (): Promise<never> => {
      checks++;
      await new Promise(setImmediate);
      return wrong();
    };
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, i) => outcome((guards[i % 3] as LoginGuard).onAccount('a', slowly))),
    );
    expect(checks).toBe(5);
    expect(replies.filter((reply) => reply === invalid)).toHaveLength(5);
    expect(replies.filter((reply) => reply === locked)).toHaveLength(195);
  });

  it('does not hold against anybody what was no guess', async () => {
    const { guard } = setup();
    for (const error of [permissionDenied('User account banned.'), unavailable('gone'), new Error('a mistake')]) {
      const fails = async (): Promise<never> => {
        throw error;
      };
      const attempt = () => guard.fromAddress('192.0.2.1', () => guard.onAccount('a', fails));
      expect(new Set(await times(30, attempt))).toEqual(new Set([error.message]));
    }
  });

  it('does not count what a locked account is asked against the address', async () => {
    const { guard } = setup();
    await times(30, () => guard.fromAddress('192.0.2.1', () => guard.onAccount('a', wrong)));
    expect(await outcome(guard.fromAddress('192.0.2.1', () => guard.onAccount('b', right)))).toBe('welcome');
  });

  it('takes 0 for no limit', async () => {
    const { guard } = setup({ 'limits.login_account_failures': 0, 'limits.login_address_failures': 0 });
    const attempt = () => guard.fromAddress('192.0.2.1', () => guard.onAccount('a', wrong));
    expect(new Set(await times(2000, attempt))).toEqual(new Set([invalid]));
  });
});
