import { describe, expect, it } from 'vitest';
import { generateUsername, isNil, newId, nilUuid, parseUuid } from './ids.ts';

const id = '4ec4f126-3f9d-11e7-84ef-b7c182b36521';

describe('parseUuid', () => {
  it.each([
    id,
    id.toUpperCase(),
    id.replaceAll('-', ''),
    `{${id}}`,
    `{${id.toUpperCase().replaceAll('-', '')}}`,
    `urn:uuid:${id}`,
    `urn:uuid:${id.replaceAll('-', '')}`,
  ])('accepts %s', (text) => {
    expect(parseUuid(text)).toBe(id);
  });

  it.each([
    '',
    'x',
    id.slice(1),
    `${id}0`,
    `${id}\n`,
    `{${id}`,
    `{{${id}}}`,
    `urn:uuid:{${id}}`,
    id.replace('-', ''),
    id.replace('4', 'g'),
    ` ${id}`,
    'ſ'.repeat(32),
    '0'.repeat(100_000),
  ])('refuses %j', (text) => {
    expect(parseUuid(text)).toBeNull();
  });
});

it('makes version 4 ids', () => {
  const ids = new Set(Array.from({ length: 1000 }, newId));
  expect(ids.size).toBe(1000);
  for (const each of ids) {
    expect(each).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseUuid(each)).toBe(each);
  }
});

it('knows the nil id', () => {
  expect(isNil(nilUuid)).toBe(true);
  expect(isNil(id)).toBe(false);
});

it('generates usernames of ten letters, each as likely as the others', () => {
  const counts = new Map<string, number>();
  const names = Array.from({ length: 5200 }, generateUsername);
  for (const name of names) {
    expect(name).toMatch(/^[a-zA-Z]{10}$/);
    for (const letter of name) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  }
  expect(new Set(names).size).toBe(names.length);
  expect(counts.size).toBe(52);
  // 1000 expected, standard deviation 31: seven of those is one failure in 10^10 runs.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(220);
});
