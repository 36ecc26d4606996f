import { describe, expect, test } from 'vitest';
import { type Format, formats, type TestSocket } from '../../testing/socket.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import { encodeEnvelopeJson } from '../../wire/envelope-json.ts';
import { onEachServer } from '../api/socket-support.ts';

const malformed = { code: 1000, reason: 'received malformed payload' };
const wrongType = { code: 1000, reason: 'received unexpected WebSocket message type' };

/** A ping of exactly that many bytes; its cid makes up the length. */
function pingOfSize(format: Format, bytes: number): { frame: string | Uint8Array; cid: string } {
  const encode = (cid: string): string | Uint8Array => {
    const frame = EnvelopeFrame.of(payload('ping', {}), cid);
    return format === 'json' ? encodeEnvelopeJson(frame) : frame.protobuf;
  };
  // Twice: a shorter cid may have a shorter length prefix.
  let cid = 'x'.repeat(bytes);
  for (let round = 0; round < 2; round++) cid = cid.slice(encode(cid).length - bytes);
  expect(encode(cid)).toHaveLength(bytes);
  return { frame: encode(cid), cid };
}

/** Sends match_data_send, which the testing feature returns as match_data, and answers what came back. */
async function echo(socket: TestSocket, message: object): Promise<object> {
  socket.send({ match_data_send: { match_id: 'm', ...message } });
  return socket.takePayload('match_data');
}

onEachServer({ extraFeatures: () => [createTestingFeature()] }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('FR-01, FR-02: a frame of the other kind closes the socket', async () => {
      const { socket } = await realm.client({ format });
      const { frame } = pingOfSize(format, 40);
      socket.sendRaw(format === 'json' ? Buffer.from(frame) : frame.toString());
      expect(await socket.waitClosed()).toEqual(wrongType);
    });

    test('an empty message is malformed for JSON, and an envelope without payload for protobuf', async () => {
      const { socket } = await realm.client({ format });
      socket.sendRaw(format === 'json' ? '' : new Uint8Array());
      expect(await socket.waitClosed()).toEqual(
        format === 'json' ? malformed : { code: 1000, reason: 'error processing message' },
      );
    });

    test('FR-07: a message of 4096 bytes is processed', async () => {
      const { socket } = await realm.client({ format });
      const { frame, cid } = pingOfSize(format, 4096);
      socket.sendRaw(frame);
      expect(await socket.take('the pong', () => true)).toEqual({ cid, pong: {} });
    });

    test('FR-08: a message of 4097 bytes closes with 1009', async () => {
      const { socket } = await realm.client({ format });
      socket.sendRaw(pingOfSize(format, 4097).frame);
      expect(await socket.waitClosed()).toEqual({ code: 1009, reason: '' });
    });

    test('a message may come in fragments, which share the limit', async () => {
      const { socket } = await realm.client({ format });
      const sendInHalves = (frame: string | Uint8Array): void => {
        const half = frame.length / 2;
        socket.ws.send(frame.slice(0, half), { fin: false });
        socket.ws.send(frame.slice(half), { fin: true });
      };
      const { frame, cid } = pingOfSize(format, 4096);
      sendInHalves(frame);
      expect(await socket.take('the pong', () => true)).toEqual({ cid, pong: {} });
      sendInHalves(pingOfSize(format, 4098).frame);
      expect(await socket.waitClosed()).toEqual({ code: 1009, reason: '' });
    });

    test.each(['5', '-5', '9007199254740993', '9223372036854775807', '-9223372036854775808'])(
      'FR-10: op_code %s comes back exactly',
      async (op_code) => {
        const { socket } = await realm.client({ format });
        expect(await echo(socket, { op_code })).toEqual({ match_id: 'm', op_code });
      },
    );

    test('op_code 0 is left out', async () => {
      const { socket } = await realm.client({ format });
      expect(await echo(socket, { op_code: '0', reliable: true })).toEqual({ match_id: 'm', reliable: true });
    });

    test.each([
      ['URL-safe and unpadded', '-_8', '+/8='],
      ['URL-safe and padded', '-_8=', '+/8='],
      ['standard and unpadded', '+/8', '+/8='],
      ['standard and padded', '+/8=', '+/8='],
    ])('FR-11: data in base64 that is %s comes back as standard base64', async (_name, data, expected) => {
      const { socket } = await realm.client({ format });
      expect(await echo(socket, { data })).toEqual({ match_id: 'm', data: expected });
    });

    test('the answer to match_data_send never carries a cid', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '7', match_data_send: { match_id: 'm', op_code: '1' } });
      await socket.settle();
      expect(socket.received.filter((envelope) => 'error' in envelope)).toEqual([]);
    });
  });

  describe('JSON', () => {
    test.each([
      ['FR-03: no JSON', 'not json'],
      ['FR-04: two payloads', '{"cid":"1","ping":{},"pong":{}}'],
      ['an unknown member', '{"cid":"1","ping":{},"what":1}'],
      ['an unknown member further down', '{"cid":"1","ping":{"what":1}}'],
      ['a duplicate member', '{"cid":"1","cid":"2","ping":{}}'],
      ['one member under both of its names', '{"cid":"1","status_follow":{"user_ids":[],"userIds":[]}}'],
      ['two members of one oneof', '{"cid":"1","match_join":{"match_id":"a","token":"b"}}'],
      ['text behind the end', '{"cid":"1","ping":{}} x'],
      ['an array', '[]'],
      ['null', 'null'],
      ['a number for text', '{"cid":1,"ping":{}}'],
      ['a fraction for an int32', '{"cid":"1","channel_join":{"target":"r","type":1.5}}'],
      ['a word for a bool', '{"cid":"1","channel_join":{"target":"r","hidden":"true"}}'],
      ['an int64 beyond its range', '{"match_data_send":{"op_code":"9223372036854775808"}}'],
      ['data that is no base64', '{"match_data_send":{"data":"?"}}'],
    ])('%s is malformed', async (_name, text) => {
      const { socket } = await realm.client();
      socket.sendRaw(text);
      expect(await socket.waitClosed()).toEqual(malformed);
      expect(socket.received).toEqual([]);
    });

    test('text that is no UTF-8 is malformed, or breaks the connection', async () => {
      const { socket } = await realm.client();
      const text = Buffer.from('{"cid":"\xff","ping":{}}', 'latin1');
      socket.ws.send(text, { binary: false });
      // uWebSockets.js takes it for a violation of the protocol and drops the connection.
      const dropped = { code: 1006, reason: '' };
      expect(await socket.waitClosed()).toEqual(realm.server.next().app.listenerKind === 'uws' ? dropped : malformed);
    });

    test('FR-05: members may be spelled in camel case', async () => {
      const { socket } = await realm.client();
      socket.sendRaw('{"cid":"1","statusFollow":{"userIds":[]}}');
      expect(await socket.take('the answer', () => true)).toEqual({ cid: '1', status: {} });
    });

    test('members that are null count as not set', async () => {
      const { socket } = await realm.client();
      socket.sendRaw('{"cid":"1","ping":null,"pong":null,"status_follow":{"user_ids":null}}');
      expect(await socket.take('the answer', () => true)).toEqual({ cid: '1', status: {} });
    });

    test.each([
      ['5', '5'],
      ['"5"', '5'],
      ['5.0', '5'],
      ['5e0', '5'],
      ['9007199254740993', '9007199254740993'],
      ['-9223372036854775808', '-9223372036854775808'],
      ['"9223372036854775807"', '9223372036854775807'],
    ])('FR-10: op_code may be written as %s', async (written, op_code) => {
      const { socket } = await realm.client();
      socket.sendRaw(`{"match_data_send":{"match_id":"m","op_code":${written}}}`);
      expect(await socket.takePayload('match_data')).toEqual({ match_id: 'm', op_code });
    });

    test('FR-10, FR-11: the frame itself has op_code as text and data as padded standard base64', async () => {
      const { socket } = await realm.client();
      const frames: string[] = [];
      socket.ws.on('message', (data: Buffer) => frames.push(data.toString()));
      socket.sendRaw('{"match_data_send":{"match_id":"m","op_code":5,"data":"-_8"}}');
      await socket.settle();
      expect(frames[0]).toBe('{"match_data":{"match_id":"m","op_code":"5","data":"+/8="}}');
    });
  });

  describe('protobuf', () => {
    test.each([
      ['FR-03: a message that is cut off', [0x0a, 0x05, 0x31]],
      ['text that is no UTF-8', [0x0a, 0x01, 0xff]],
      ['a field number of zero', [0x02, 0x00]],
      ['a payload that is cut off', [0x1a, 0x03, 0x0a, 0x05, 0x31]],
    ])('%s is malformed', async (_name, bytes) => {
      const { socket } = await realm.client({ format: 'protobuf' });
      socket.sendRaw(new Uint8Array(bytes));
      expect(await socket.waitClosed()).toEqual(malformed);
    });

    test('unknown fields are skipped', async () => {
      const { socket } = await realm.client({ format: 'protobuf' });
      const unknown = Buffer.from([0xd2, 0x0f, 0x01, 0x78]); // field 250, one byte of text
      socket.sendRaw(Buffer.concat([unknown, EnvelopeFrame.of(payload('ping', {}), '3').protobuf, unknown]));
      expect(await socket.take('the pong', () => true)).toEqual({ cid: '3', pong: {} });
    });

    test('of two payloads the last one counts', async () => {
      const { socket } = await realm.client({ format: 'protobuf' });
      const pong = EnvelopeFrame.of(payload('pong', {}), '3').protobuf;
      socket.sendRaw(Buffer.concat([pong, EnvelopeFrame.of(payload('ping', {}), '4').protobuf]));
      expect(await socket.take('the pong', () => true)).toEqual({ cid: '4', pong: {} });
    });

    test('a payload of an unknown field is no payload', async () => {
      const { socket } = await realm.client({ format: 'protobuf' });
      socket.sendRaw(Buffer.from([0x0a, 0x01, 0x31, 0xd2, 0x0f, 0x00]));
      const { error } = await socket.take('the error', ({ cid }) => cid === '1');
      expect(error).toEqual({ code: 2, message: 'Missing message.' });
      expect(await socket.waitClosed()).toEqual({ code: 1000, reason: 'error processing message' });
    });
  });
});
