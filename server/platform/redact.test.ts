import { expect, it } from 'vitest';
import { redactText, redactUrl } from './redact.ts';

it.each([
  ['postgresql://user:pass@host:5432/db', 'postgresql://user:REDACTED@host:5432/db'],
  ['postgresql://user:p@ss:w/rd@host/db', 'postgresql://user:REDACTED@host/db'],
  ['user:pass@host:5432/db', 'user:REDACTED@host:5432/db'],
  ['root@localhost:26257', 'root@localhost:26257'],
  ['redis://:pass@host', 'redis://:REDACTED@host'],
  ['postgresql://host/db?user=x&password=pass', 'postgresql://host/db?user=x&password=REDACTED'],
  ['/ws?token=abc&lang=en', '/ws?token=REDACTED&lang=en'],
  ['http://host:80/path', 'http://host:80/path'],
])('redacts %s', (url, expected) => {
  expect(redactUrl(url)).toBe(expected);
});

it('redacts URLs within a text', () => {
  expect(redactText('cannot reach postgresql://u:p@w@h/d, tried redis://:x@h too')).toBe(
    'cannot reach postgresql://u:REDACTED@h/d, tried redis://:REDACTED@h too',
  );
  expect(redactText('a@b.c: no')).toBe('a@b.c: no');
});
