import { expect, it } from 'vitest';
import { routed, routesOf } from './outbound-routes.ts';

it('sends calls to a host elsewhere, and no others', () => {
  const routes = routesOf([
    'https://a.example.com=http://proxy:8080/a/',
    'http://b.example.com:81=https://c.example.com',
  ]);
  const to = (address: string): string => routed(address, routes).href;
  expect(to('https://a.example.com/x/y?z=1&u=%20')).toBe('http://proxy:8080/a/x/y?z=1&u=%20');
  expect(to('https://a.example.com:443/')).toBe('http://proxy:8080/a/');
  expect(to('http://b.example.com:81/x')).toBe('https://c.example.com/x');
  for (const other of ['http://a.example.com/x', 'https://b.a.example.com/x', 'https://a.example.com:8443/x']) {
    expect(to(other)).toBe(other);
  }
  expect(() => routed('nonsense', routes)).toThrow(TypeError);
});

it.each(['a=b', 'https://a.example.com', 'https://a.example.com/path=http://b', 'https://a.example.com=ftp://b', '='])(
  'refuses %j',
  (text) => {
    expect(() => routesOf([text])).toThrow(/^must be of the form/);
  },
);
