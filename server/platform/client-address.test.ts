import { describe, expect, it } from 'vitest';
import { addressNetwork, clientAddress } from './client-address.ts';

function find(forwardedFor: string | undefined, proxyCount = 1): string {
  const { address, port } = clientAddress(forwardedFor, '10.0.0.9', 5000, proxyCount);
  return port === '' ? address : `${address} ${port}`;
}

describe('without a header', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['0000:0000:0000:0000:0000:ffff:0102:0304', '1.2.3.4'],
    ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['junk', ''],
    ['', ''],
  ])('the peer %s is %s', (peer, expected) => {
    expect(clientAddress(undefined, peer, 5000, 1)).toEqual({ address: expected, port: expected === '' ? '' : '5000' });
    expect(clientAddress('', peer, 5000, 1).address).toBe(expected);
  });
});

describe('with a header', () => {
  it.each([
    ['1.1.1.1', 1, '1.1.1.1'],
    ['1.1.1.1, 2.2.2.2', 1, '1.1.1.1'],
    ['1.1.1.1, 2.2.2.2', 0, '2.2.2.2'],
    ['1.1.1.1, 2.2.2.2, 3.3.3.3', 1, '2.2.2.2'],
    ['1.1.1.1, 2.2.2.2, 3.3.3.3', 2, '1.1.1.1'],
    ['1.1.1.1, 2.2.2.2, 3.3.3.3', 9, '1.1.1.1'],
    // What cannot be read is passed over, but takes up a position once an entry was found.
    ['1.1.1.1, junk, 3.3.3.3', 1, '3.3.3.3'],
    ['1.1.1.1, junk, 3.3.3.3', 2, '1.1.1.1'],
    ['1.1.1.1, 2.2.2.2, junk, ,', 1, '1.1.1.1'],
    // Loopback counts only where the client itself would stand.
    ['1.1.1.1, 127.0.0.1', 0, '1.1.1.1'],
    ['127.0.0.1', 1, '127.0.0.1'],
    ['127.0.0.1, ::1', 0, '127.0.0.1'],
    ['::1', 1, '::1'],
    ['junk', 1, ''],
    [' , ', 1, ''],
  ])('%j through %i proxies is %j', (header, proxyCount, expected) => {
    expect(find(header, proxyCount)).toBe(expected);
  });

  it.each([
    ['1.2.3.4:80', '1.2.3.4 80'],
    ['[2001:db8::1]:80', '2001:db8::1 80'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['[::ffff:0102:0304]:80', '1.2.3.4 80'],
    ['1.2.3.4:99999', ''],
    ['1.2.3.4:', ''],
    ['999.1.1.1', ''],
    ['example.com', ''],
    ['[1.2.3.4', ''],
  ])('reads %s as %j', (entry, expected) => {
    expect(find(entry)).toBe(expected);
  });

  it('does not walk an endless chain', () => {
    expect(find(`1.1.1.1,${'junk,'.repeat(1000)}`)).toBe('');
  });
});

it('counts an IPv6 customer as one', () => {
  expect(addressNetwork('1.2.3.4')).toBe('1.2.3.4');
  expect(addressNetwork('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(addressNetwork('2001:db8:1:2::1')).toBe('2001:db8:1:2::/64');
  expect(addressNetwork('2001:db8::1')).toBe('2001:db8:0:0::/64');
  expect(addressNetwork('::1')).toBe('0:0:0:0::/64');
  expect(addressNetwork('')).toBe('');
});
