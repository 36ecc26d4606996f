import { describe, expect, it } from 'vitest';
import { changesOf, GroupState, type RoleAction } from './roles.ts';

// The permission matrix (spec: social.md, section 2.4), each cell of it.

const { SUPERADMIN, ADMIN, MEMBER, JOIN_REQUEST, BANNED } = GroupState;
const all = [SUPERADMIN, ADMIN, MEMBER, JOIN_REQUEST, BANNED];

/** What becomes of somebody in each of the states; `-` for no change. */
const outcomes = (action: RoleAction, actorState: number, superadmins = 3, members = 10) =>
  all.map((state) => {
    const roster = { states: new Map([['target', state]]), superadmins, members };
    const [change] = changesOf(action, actorState, ['target'], roster);
    return change === undefined ? '-' : change.to;
  });

describe('what becomes of superadmins, admins, members, requests and banned ones', () => {
  it.each([
    ['kick', SUPERADMIN, [null, null, null, null, null]],
    ['kick', ADMIN, ['-', '-', null, null, null]],
    ['ban', SUPERADMIN, [BANNED, BANNED, BANNED, BANNED, BANNED]],
    ['ban', ADMIN, ['-', '-', BANNED, BANNED, BANNED]],
    ['promote', SUPERADMIN, ['-', SUPERADMIN, ADMIN, '-', '-']],
    ['promote', ADMIN, ['-', '-', ADMIN, '-', '-']],
    ['demote', SUPERADMIN, [ADMIN, MEMBER, '-', '-', '-']],
    ['demote', ADMIN, ['-', MEMBER, '-', '-', '-']],
  ] as const)('%s by %i', (action, actorState, expected) => {
    expect(outcomes(action, actorState)).toEqual(expected);
  });

  it('leaves the last superadmin, whoever acts', () => {
    expect(outcomes('kick', SUPERADMIN, 1)).toEqual(['-', null, null, null, null]);
    expect(outcomes('ban', SUPERADMIN, 1)).toEqual(['-', BANNED, BANNED, BANNED, BANNED]);
    expect(outcomes('demote', SUPERADMIN, 1)).toEqual(['-', MEMBER, '-', '-', '-']);
    // In a group of other software's that has none, nobody is demoted.
    expect(outcomes('demote', SUPERADMIN, 0).slice(1)).toEqual(['-', '-', '-', '-']);
  });

  it('leaves the last member', () => {
    expect(outcomes('kick', SUPERADMIN, 0, 1)).toEqual(['-', '-', '-', null, null]);
  });
});

it('goes through the targets one after the other', () => {
  const states = new Map([
    ['a', SUPERADMIN],
    ['b', SUPERADMIN],
    ['c', ADMIN],
  ]);
  const roster = { states, superadmins: 2, members: 3 };
  const to = (action: RoleAction, ids: string[]) =>
    changesOf(action, SUPERADMIN, ids, roster).map(({ userId, to: state }) => [userId, state]);
  expect(to('kick', ['a', 'stranger', 'b', 'c'])).toEqual([
    ['a', null],
    ['c', null],
  ]);
  expect(to('demote', ['b', 'a', 'c'])).toEqual([
    ['b', ADMIN],
    ['c', MEMBER],
  ]);
  expect(to('promote', ['c', 'a'])).toEqual([['c', SUPERADMIN]]);
});
