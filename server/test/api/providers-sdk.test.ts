import { Client, type Session } from '@heroiclabs/nakama-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Front, openFront } from '../../testing/front.ts';
import { unique } from '../../testing/names.ts';
import { serverKey } from '../../testing/node.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { waitFor } from '../../testing/wait.ts';
import { FakeProviders, newSteamId } from './providers-support.ts';

// What Nakama's own SDK sends, with its own spelling of every request.

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

describe.each(serverKinds)('the SDK on %s', (kind) => {
  let server: TestServer;
  let front: Front;
  let client: Client;

  beforeAll(async () => {
    server = await startTestServer({ kind, config: fake.config, clock: fake.clock });
    front = await openFront(server);
    client = new Client(serverKey, '127.0.0.1', String(front.port), false);
  });
  afterAll(async () => {
    await front?.close();
    await server?.stop();
  });

  const apple = (sub: string) => fake.apple[0].token(fake.appleClaims({ sub }));
  const google = (sub: string) => fake.google[0].token(fake.googleClaims({ sub }));
  const instant = (player_id: string) => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id });
  const gameCenter = (id: string) => {
    const { bundle_id, player_id, public_key_url, salt, signature, timestamp_seconds } = fake.gameCenterPlayer(id);
    return [bundle_id, player_id, public_key_url, salt, signature, timestamp_seconds].map(String) as GameCenter;
  };
  type GameCenter = [string, string, string, string, string, string];

  const signIns: [string, () => () => Promise<Session>][] = [
    ['Apple', once((id) => client.authenticateApple(apple(id), true, undefined, { k: 'v' }))],
    ['Facebook', once((id) => client.authenticateFacebook(fake.facebookToken({ id }), true, undefined, true))],
    ['Facebook Instant Games', once((id) => client.authenticateFacebookInstantGame(instant(id)))],
    ['Game Center', once((id) => client.authenticateGameCenter(...gameCenter(id)))],
    ['Google', once((id) => client.authenticateGoogle(google(id)))],
    [
      'Steam',
      () => once((id) => client.authenticateSteam(fake.steamTicket(id), true, undefined, true), newSteamId())(),
    ],
  ];

  test.each(signIns)('signs in by %s, twice as one user', async (_, player) => {
    const signIn = player();
    const first = await signIn();
    expect(first.created).toBe(true);
    const second = await signIn();
    expect(second.created).toBe(false);
    expect(second.user_id).toBe(first.user_id);
  });

  test('links, unlinks and imports', async () => {
    const friend = newSteamId();
    const other = await client.authenticateSteam(fake.steamTicket(friend));
    const session = await client.authenticateDevice(unique('device'));
    const steamId = newSteamId();
    const [bundle_id, player_id, public_key_url, salt, signature, timestamp_seconds] = gameCenter(unique('G:'));
    const player = { bundle_id, player_id, public_key_url, salt, signature, timestamp_seconds };
    await client.linkApple(session, { token: apple(unique('a')) });
    await client.linkFacebook(session, { token: fake.facebookToken({ id: unique('f') }) });
    await client.linkGoogle(session, { token: google(unique('g')) });
    await client.linkGameCenter(session, player);
    await client.linkSteam(session, { account: { token: fake.steamTicket(steamId, [friend]) }, sync: true });
    const { user } = await client.getAccount(session);
    expect(user).toMatchObject({
      apple_id: expect.any(String),
      facebook_id: expect.any(String),
      google_id: expect.any(String),
      gamecenter_id: player_id,
      steam_id: steamId,
    });
    const friends = async () => (await client.listFriends(session)).friends?.map((each) => each.user?.id) ?? [];
    await waitFor('the friend', async () => (await friends()).includes(other.user_id));
    await client.importSteamFriends(session, { token: fake.steamTicket(steamId, []) }, true);
    expect(await friends()).toEqual([]);
    await client.importFacebookFriends(session, { token: fake.facebookToken({ id: unique('f') }, []) });
    await client.unlinkApple(session, {});
    await client.unlinkFacebook(session, {});
    await client.unlinkGoogle(session, {});
    await client.unlinkGameCenter(session, {});
    await client.unlinkSteam(session, { token: fake.steamTicket(steamId) });
    expect((await client.getAccount(session)).user).not.toHaveProperty('steam_id');
  });
});

/** A player of that id, who signs in as often as asked. */
function once(signIn: (id: string) => Promise<Session>, id?: string): () => () => Promise<Session> {
  return () => {
    const own = id ?? unique('p');
    return () => signIn(own);
  };
}
