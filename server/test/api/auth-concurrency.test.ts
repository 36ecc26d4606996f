import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';

const parallel = 20;

describe.each(serverKinds)('at the same time on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(() => server?.stop());

  const signInAtOnce = (path: string, bodies: object[]) =>
    Promise.all(
      bodies.map((body) =>
        request(server, 'POST', `/v2/account/authenticate/${path}`, { authorization: serverKeyAuth, body }),
      ),
    );
  const copies = (body: object): object[] => Array.from({ length: parallel }, () => body);

  test.each([
    ['device', () => ({ id: unique('device') })],
    ['custom', () => ({ id: unique('custom') })],
    ['email', () => ({ email: `${unique('e')}@example.com`, password: 'password1' })],
    ['device, with a username', () => ({ id: unique('device') })],
    ['custom, with a username', () => ({ id: unique('custom') })],
    ['email, with a username', () => ({ email: `${unique('e')}@example.com`, password: 'password1' })],
  ])('first sign-ins with one %s: all succeed as one user, made once', async (kind, body) => {
    const [provider = '', named] = kind.split(', ');
    const query = named === undefined ? '' : `?username=${unique('name')}`;
    const replies = await signInAtOnce(provider + query, copies(body()));
    expect(replies.map(({ status, text }) => (status === 200 ? '' : text)).filter((text) => text !== '')).toEqual([]);
    expect(new Set(replies.map((reply) => claimsOf(reply.body.token).uid)).size).toBe(1);
    expect(new Set(replies.map((reply) => claimsOf(reply.body.token).usn)).size).toBe(1);
    expect(replies.filter((reply) => reply.body.created === true)).toHaveLength(1);
  });

  test('first sign-ins with one address and different passwords: one makes the account, the others are refused', async () => {
    const email = `${unique('e')}@example.com`;
    const replies = await signInAtOnce(
      'email',
      Array.from({ length: parallel }, (_, index) => ({ email, password: `password${index}` })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array(parallel - 1).fill(401)]);
    expect(replies.find(({ status }) => status === 401)?.body.message).toBe('Invalid credentials.');
  });

  test('new users who want one name: one gets it, the others hear 409', async () => {
    const replies = await signInAtOnce(
      `device?username=${unique('wanted')}`,
      Array.from({ length: parallel }, () => ({ id: unique('device') })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array(parallel - 1).fill(409)]);
    for (const { status, body } of replies) {
      if (status === 409) expect(body).toEqual({ code: 6, message: 'Username is already in use.' });
    }
  });

  test('existing users who want one name: one gets it', async () => {
    const players = await Promise.all([signIn(server), signIn(server)]);
    const body = { username: unique('wanted') };
    const replies = await Promise.all(
      players.map(({ authorization }) => request(server, 'PUT', '/v2/account', { authorization, body })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 400]);
    expect(replies.find(({ status }) => status === 400)?.body).toMatchObject({
      code: 3,
      message: expect.stringContaining('Username is already in use.'),
    });
  });

  const link = (authorization: string, kind: string, body: object) =>
    request(server, 'POST', `/v2/account/link/${kind}`, { authorization, body });

  test.each([
    ['device', () => ({ id: unique('device') }), 'Device ID already in use.'],
    ['custom', () => ({ id: unique('custom') }), 'Custom ID is already in use.'],
    ['email', () => ({ email: `${unique('e')}@example.com`, password: 'password1' }), 'Email is already in use.'],
  ])('links of one %s to two users: one gets it', async (kind, makeBody, message) => {
    for (let round = 0; round < 5; round++) {
      const players = await Promise.all([signIn(server), signIn(server)]);
      const body = makeBody();
      const replies = await Promise.all(players.map(({ authorization }) => link(authorization, kind, body)));
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 409]);
      expect(replies.find(({ status }) => status === 409)?.body).toEqual({ code: 6, message });
    }
  });

  test('a link of one identifier to oneself, many times: all succeed', async () => {
    const { authorization } = await signIn(server);
    const id = unique('either');
    for (const kind of ['device', 'custom']) {
      const replies = await Promise.all(copies({ id }).map((body) => link(authorization, kind, body)));
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    }
  });

  test('unlinks of the last two identifiers: one stays', async () => {
    for (let round = 0; round < 10; round++) {
      const { authorization, deviceId } = await signIn(server);
      const customId = unique('custom');
      await link(authorization, 'custom', { id: customId });
      const replies = await Promise.all([
        request(server, 'POST', '/v2/account/unlink/device', { authorization, body: { id: deviceId } }),
        request(server, 'POST', '/v2/account/unlink/custom', { authorization, body: { id: customId } }),
      ]);
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 403]);
      const { body } = await request(server, 'GET', '/v2/account', { authorization });
      expect((body.devices ?? []).length + (body.custom_id === undefined ? 0 : 1)).toBe(1);
    }
  });

  test('unlinks of all devices: one stays', async () => {
    const { authorization, deviceId } = await signIn(server);
    const ids = [deviceId, unique('device'), unique('device'), unique('device')];
    for (const id of ids.slice(1)) await link(authorization, 'device', { id });
    const replies = await Promise.all(
      ids.map((id) => request(server, 'POST', '/v2/account/unlink/device', { authorization, body: { id } })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 200, 200, 403]);
    expect((await request(server, 'GET', '/v2/account', { authorization })).body.devices).toHaveLength(1);
  });

  test('links and unlinks of one user neither fail nor deadlock', async () => {
    const { authorization } = await signIn(server);
    await link(authorization, 'custom', { id: unique('custom') });
    const ids = Array.from({ length: parallel }, () => unique('device'));
    const work = ids.map(async (id) => {
      expect((await link(authorization, 'device', { id })).status).toBe(200);
      const body = { id };
      expect((await request(server, 'POST', '/v2/account/unlink/device', { authorization, body })).status).toBe(200);
    });
    await Promise.all(work);
    expect((await request(server, 'GET', '/v2/account', { authorization })).body.devices).toHaveLength(1);
  });

  test('deletions of one account: all succeed', async () => {
    const { authorization } = await signIn(server);
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => request(server, 'DELETE', '/v2/account', { authorization })),
    );
    // Once the account is gone its token may be, too.
    for (const { status } of replies) expect([200, 401]).toContain(status);
  });

  test('nothing of it was worth an error line', () => {
    expect(server.errors).toEqual([]);
  });
});
