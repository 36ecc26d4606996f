import { describe, expect, it } from 'vitest';
import { Code } from '../platform/errors.ts';
import { maxSessionPresences } from './presence.ts';
import { type Held, HeldPresences } from './presence-redis-table.ts';

const value = Buffer.from('value');
const newer = Buffer.from('newer');

describe('HeldPresences', () => {
  const make = (): { table: HeldPresences; enter: (key: string) => Held } => {
    const table = new HeldPresences();
    table.open('s', 1);
    return { table, enter: (key) => table.enter([{ key, sessionId: 's', userId: 'u' }])[0] as Held };
  };

  it('believes the newest stamp, in whatever order news come', () => {
    const { table, enter } = make();
    const held = enter('k');
    table.learn(held, value, 5);
    table.gone('k', ['s.u'], 4);
    expect(held.value).toBe(value);
    table.learn(held, newer, 8);
    table.learn(held, value, 7);
    expect(held.value).toBe(newer);
    table.gone('k', undefined, 9);
    table.learn(held, newer, 8);
    expect([held.value, table.count, table.lastStamp]).toEqual([undefined, 0, 9]);
  });

  it('hears of a removal that overtakes the reply to the insertion', () => {
    const { table, enter } = make();
    const held = enter('k');
    table.gone('k', ['s.u'], 6);
    table.learn(held, value, 5);
    table.release(held);
    expect([table.count, table.get('k', 's.u')]).toEqual([0, undefined]);
  });

  it('keeps what is under way or in doubt, and forgets what is not there', () => {
    const { table, enter } = make();
    const held = enter('k');
    enter('k');
    table.release(held);
    expect(table.get('k', 's.u')).toBe(held);
    table.doubt(held);
    table.release(held);
    expect(table.get('k', 's.u')).toBe(held);
    table.learn(held, undefined, 1);
    expect(table.get('k', 's.u')).toBeUndefined();
  });

  it('remembers who is to leave, unless what was asked later has put it there again', () => {
    const { table, enter } = make();
    const held = enter('k');
    const [early, leave, late] = [table.nextTurn(), table.nextTurn(), table.nextTurn()];
    expect(table.leave('s', 'k', 's.u', leave)).toBe(false);
    table.place(held, early);
    table.learn(held, value, 1);
    expect(held.leaving).toBe(leave);
    expect(table.leave('s', 'k', 's.u', leave)).toBe(true);
    table.place(held, late);
    expect(held.leaving).toBe(0);
    table.leave('s', 'k', 's.u', leave);
    expect(held.leaving).toBe(0);
    table.leave('s', 'k', 's.u', table.nextTurn());
    table.gone('k', ['s.u'], 2);
    expect([held.leaving, held.value]).toEqual([0, undefined]);
    expect([table.leave('s', 'other', 's.u', 9), table.leave('x', 'k', 'x.u', 9)]).toEqual([false, undefined]);
  });

  it('counts what it holds on a stream', () => {
    const { table, enter } = make();
    expect(table.countOn('k')).toBe(0);
    const held = enter('k');
    expect(table.countOn('k')).toBe(0);
    table.learn(held, value, 1);
    expect([table.countOn('k'), table.countOn('other')]).toEqual([1, 0]);
  });

  it('gives what a closed session held, and counts it no more', () => {
    const { table, enter } = make();
    table.learn(enter('k'), value, 1);
    enter('other');
    expect(table.count).toBe(1);
    expect([...(table.close('s')?.held ?? [])].map(({ key }) => key)).toEqual(['k', 'other']);
    expect([table.count, table.close('s'), table.get('k', 's.u')]).toEqual([0, undefined, undefined]);
    expect(() => enter('k')).toThrow(expect.objectContaining({ code: Code.FAILED_PRECONDITION }));
  });

  it('enters all or none', () => {
    const { table } = make();
    const many = Array.from({ length: maxSessionPresences + 1 }, (_, i) => {
      return { key: `${i}`, sessionId: 's', userId: 'u' };
    });
    expect(() => table.enter(many)).toThrow(expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED }));
    expect(table.get('0', 's.u')).toBeUndefined();
    expect(() => table.enter([...many.slice(1), many[1] as (typeof many)[0]])).not.toThrow();
  });

  it('ends the sessions of an epoch and of those before it, or takes them over', () => {
    const { table } = make();
    table.open('later', 3);
    table.end(2);
    expect([table.close('s'), table.close('later')?.epoch]).toEqual([undefined, 3]);
    table.open('t', 1);
    table.learn(table.enter([{ key: 'k', sessionId: 't', userId: 'u' }])[0] as Held, value, 1);
    expect([table.beforeEpoch(4).length, table.ofEpoch(4).length]).toEqual([1, 0]);
    table.adopt(4);
    expect([table.beforeEpoch(4).length, table.ofEpoch(4).length]).toEqual([0, 1]);
  });
});
