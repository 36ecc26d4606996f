import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { listen } from './listener.ts';
import { frame, opcodes } from './listener-test-client.ts';
import { Harness, kinds, listenerOptions } from './listener-test-harness.ts';
import { loadUws } from './listener-uws.ts';
import { servesSplitRequestLines } from './listener-uws-check.ts';

describe.each(kinds)('%s listener, lifecycle', (kind) => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.start(kind);
  });
  afterEach(() => harness.stop());

  it('listens on every address', async () => {
    const other = await Harness.start(kind, { address: '' });
    expect((await other.ask('GET /a HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(200);
    expect(other.exchanges[0]?.peerAddress).toBe('127.0.0.1');
    await other.stop();
  });

  it('refuses a port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    for (const port of [(taken.address() as AddressInfo).port, harness.listener.port]) {
      await expect(Harness.start(kind, { port })).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
    }
    taken.close();
  });

  it('stops accepting and lets sockets live on, then drops them', async () => {
    const { client, session } = await harness.open();
    harness.listener.stopAccepting();
    await expect(harness.raw()).rejects.toThrow('ECONNREFUSED');
    client.write(frame(opcodes.text, 'still here'));
    expect((await client.frame()).payload.toString()).toBe('still here');
    await harness.listener.close();
    await client.end();
    expect(session.closes).toEqual([[1006, '']]);
    expect(harness.listener.connectionCount).toBe(0);
    await harness.listener.close();
  });
});

it('takes uWebSockets.js where it loads and serves requests that arrive in pieces', async () => {
  const harness = new Harness();
  const isSound =
    (kinds as readonly string[]).includes('uws') &&
    (await servesSplitRequestLines(await loadUws(listenerOptions.maxHeaderBytes)));
  const listener = await listen('auto', listenerOptions, harness.handlers, harness.log);
  expect(listener.kind).toBe(isSound ? 'uws' : 'node');
  expect(harness.log.warn).toHaveBeenCalledTimes(isSound ? 0 : 1);
  await listener.close();
});

it('falls back to node with one warning where the binary does not load', async () => {
  vi.resetModules();
  vi.doMock('uWebSockets.js', () => {
    throw new Error('no binary');
  });
  const { listen } = await import('./listener.ts');
  const harness = new Harness();
  const listener = await listen('auto', listenerOptions, harness.handlers, harness.log);
  expect(listener.kind).toBe('node');
  expect(harness.log.warn).toHaveBeenCalledTimes(1);
  await expect(listen('uws', listenerOptions, harness.handlers, harness.log)).rejects.toThrow('could not be loaded');
  await listener.close();
  vi.doUnmock('uWebSockets.js');
});
