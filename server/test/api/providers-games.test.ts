import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, serverKeyAuth } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { appSecret, FakeProviders, newSteamId, refused, userOf } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

describeDoors('sign-in by gaming platform', { config: fake.config, clock: fake.clock }, (at) => {
  const call = (method: string, account: object, more: object = {}) =>
    at.call(method, serverKeyAuth, { account, ...more });
  const userIn = async (token: string) => (await at.ok('GetAccount', bearer(token))).user;

  describe('Steam', () => {
    const signIn = (token: string, more: object = {}) => call('AuthenticateSteam', { token }, more);

    test('makes an account, and finds it by another ticket', async () => {
      const id = newSteamId();
      const first = await signIn(fake.steamTicket(id));
      expect(first.response.created).toBe(true);
      expect(await userIn(first.response.token)).toMatchObject({ steam_id: id });
      const again = await signIn(fake.steamTicket(id), { create: false });
      expect(again.response).not.toHaveProperty('created');
      expect(userOf(again)).toBe(userOf(first));
    });

    test('refuses tickets that Steam refuses', async () => {
      expect(await signIn('00')).toMatchObject(refused('Steam'));
      expect(await signIn('x'.repeat(20_000))).toMatchObject(refused('Steam'));
    });

    test.each<[string, unknown]>([
      ['no params', { response: {} }],
      ['an error beside params', { response: { error: {}, params: { steamid: '76561190000000000' } } }],
      ['an id that is a number', { response: { params: { steamid: 76561190000000000 } } }],
      ['an id that is none', { response: { params: { steamid: 'x' } } }],
      ['an id of zero', { response: { params: { steamid: '0' } } }],
      ['a list', []],
    ])('refuses an answer of %s', async (_, json) => {
      const ticket = fake.steamTicket(newSteamId());
      const page = 'partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/';
      const usual = fake.web.page(page);
      fake.web.serve(page, () => ({ json }));
      try {
        expect(await signIn(ticket)).toMatchObject(refused('Steam'));
      } finally {
        fake.web.serve(page, usual);
      }
      expect((await signIn(ticket)).code).toBe(0);
    });

    test('needs a ticket', async () => {
      expect(await signIn('')).toMatchObject({ code: 3, message: 'Steam access token is required.' });
    });
  });

  describe('Game Center', () => {
    const signIn = (account: object, more: object = {}) => call('AuthenticateGameCenter', account, more);

    test.each(['cer', 'pem'])('makes an account, and finds it again, with a certificate as %s', async (kind) => {
      const id = unique('G:');
      const url = { public_key_url: `https://static.gc.apple.com/public-key/gc-prod-1.${kind}` };
      const first = await signIn(fake.gameCenterPlayer(id, url));
      expect(first.response.created).toBe(true);
      expect(await userIn(first.response.token)).toMatchObject({ gamecenter_id: id });
      const again = await signIn(fake.gameCenterPlayer(id, url), { create: false });
      expect(userOf(again)).toBe(userOf(first));
    });

    test.each([
      ['bundle_id', 'GameCenter bundle ID is required.'],
      ['player_id', 'GameCenter player ID is required.'],
      ['public_key_url', 'GameCenter public key URL is required.'],
      ['salt', 'GameCenter salt is required.'],
      ['signature', 'GameCenter signature is required.'],
    ])('#52 needs %s', async (field, message) => {
      const player = fake.gameCenterPlayer(unique('G:'), { [field]: '' });
      expect(await signIn(player)).toMatchObject({ code: 3, message });
    });

    test('needs a time, and looks at the fields in their order', async () => {
      const player = fake.gameCenterPlayer(unique('G:'), { timestamp_seconds: '0' });
      expect(await signIn(player)).toMatchObject({ code: 3, message: 'GameCenter timestamp is required.' });
      expect(await signIn({})).toMatchObject({ code: 3, message: 'GameCenter bundle ID is required.' });
      expect(await signIn({ bundle_id: 'b' })).toMatchObject({ message: 'GameCenter player ID is required.' });
    });

    test.each<[string, object]>([
      ['a host that is not Apple’s', { public_key_url: 'https://example.com/public-key/gc-prod-1.cer' }],
      ['a host that only ends alike', { public_key_url: 'https://static-gc-apple.com/public-key/gc-prod-1.cer' }],
      ['a host that begins alike', { public_key_url: 'https://static.gc.apple.com.example.com/gc-prod-1.cer' }],
      ['the domain itself', { public_key_url: 'https://apple.com/public-key/gc-prod-1.cer' }],
      ['a port', { public_key_url: 'https://static.gc.apple.com:8443/public-key/gc-prod-1.cer' }],
      ['a name and password', { public_key_url: 'https://a:b@static.gc.apple.com/public-key/gc-prod-1.cer' }],
      ['plain http', { public_key_url: 'http://static.gc.apple.com/public-key/gc-prod-1.cer' }],
      ['no path', { public_key_url: 'https://static.gc.apple.com/' }],
      ['no address', { public_key_url: 'static.gc.apple.com/public-key/gc-prod-1.cer' }],
      ['a page that there is not', { public_key_url: 'https://static.gc.apple.com/public-key/none.cer' }],
      ['another player', { player_id: 'G:other' }],
      ['another bundle', { bundle_id: 'com.example.other' }],
      ['another time', { timestamp_seconds: '1700000001' }],
      ['another salt', { salt: Buffer.from('other').toString('base64') }],
      ['another signature', { signature: Buffer.alloc(256).toString('base64') }],
      ['a salt that is not base64', { salt: '!!' }],
      ['a signature that is not base64', { signature: '****' }],
      ['a negative time', { timestamp_seconds: '-1' }],
    ])('#53 refuses %s', async (_, more) => {
      expect(await signIn(fake.gameCenterPlayer(unique('G:'), more))).toMatchObject(refused('GameCenter'));
    });

    test('reads base64 of the standard sort only', async () => {
      // All of these say the same to a lenient reader.
      for (let i = 0; i < 20; i++) {
        const player = fake.gameCenterPlayer(unique('G:'));
        const [salt, signature] = [String(player['salt']), String(player['signature'])];
        const odd = [
          { salt: `${salt} ` },
          { salt: salt.replace(/=+$/, '') },
          { signature: signature.replace(/=+$/, '') },
          { signature: signature.replaceAll('+', '-').replaceAll('/', '_') },
        ];
        for (const more of odd) {
          const isOdd = Object.entries(more).some(([field, value]) => player[field] !== value);
          expect((await signIn({ ...player, ...more })).code, JSON.stringify(more)).toBe(isOdd ? 16 : 0);
        }
      }
    });

    test.each<[string, Uint8Array]>([
      ['nothing', new Uint8Array()],
      ['junk', Buffer.from('junk')],
    ])('refuses a certificate of %s, and asks for it again', async (_, bytes) => {
      const name = unique('cert');
      const public_key_url = `https://static.gc.apple.com/${name}`;
      fake.web.serve(`static.gc.apple.com/${name}`, () => ({ bytes }));
      const player = fake.gameCenterPlayer(unique('G:'), { public_key_url });
      expect(await signIn(player)).toMatchObject(refused('GameCenter'));
      fake.web.serve(`static.gc.apple.com/${name}`, fake.web.page('static.gc.apple.com/public-key/gc-prod-1.cer'));
      expect((await signIn(player)).code).toBe(0);
    });
  });

  describe('Facebook Instant Game', () => {
    const signIn = (signed_player_info: string, more: object = {}) =>
      call('AuthenticateFacebookInstantGame', { signed_player_info }, more);
    const garbled = {
      code: 15,
      message: 'Error extracting the Facebook Instant Game player ID or validating the signature',
    };

    test.each([
      ['HMAC-SHA256', 'sha256'],
      ['HS256', 'sha256'],
      ['HS384', 'sha384'],
      ['HS512', 'sha512'],
    ])('#51 makes an account, and finds it again, by %s', async (algorithm, hash) => {
      const player_id = unique('player');
      const player = fake.instantPlayer({ algorithm, player_id, issued_at: 1 }, { hash });
      const first = await signIn(player);
      expect(first.response.created).toBe(true);
      expect(await userIn(first.response.token)).toMatchObject({ facebook_instant_game_id: player_id });
      expect(userOf(await signIn(player, { create: false }))).toBe(userOf(first));
    });

    test.each<[string, () => string]>([
      ['garbage', () => 'garbage'],
      ['two empty parts', () => '.'],
      ['three parts', () => `${fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' })}.x`],
      ['another secret', () => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' }, { secret: 'other' })],
      ['no secret', () => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' }, { secret: '' })],
      ['another algorithm than it says', () => fake.instantPlayer({ algorithm: 'HS512', player_id: 'p' })],
      ['no algorithm', () => fake.instantPlayer({ player_id: 'p' })],
      ['an unknown algorithm', () => fake.instantPlayer({ algorithm: 'none', player_id: 'p' })],
      ['no player', () => fake.instantPlayer({ algorithm: 'HMAC-SHA256' })],
      ['a player that is a number', () => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 1 })],
      ['a short signature', () => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' }).slice(8)],
      [
        'a payload that was changed',
        () => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' }).replace(/.$/, ''),
      ],
    ])('#49 refuses %s', async (_, player) => {
      expect(await signIn(player())).toMatchObject(garbled);
    });

    test('needs a player', async () => {
      const message = 'Signed Player Info for a Facebook Instant Game is required.';
      expect(await signIn('')).toMatchObject({ code: 3, message });
    });
  });

  test('nothing of it was worth an error line', () => {
    expect(at.server.errors).toEqual([]);
  });
});

describeDoors('sign-in by providers that are not set up', {}, (at) => {
  test.each([
    ['#46', 'AuthenticateApple', { token: '' }, 9, 'Apple authentication is not configured.'],
    ['#47', 'AuthenticateSteam', { token: '' }, 9, 'Steam authentication is not configured.'],
    ['OpenID', 'AuthenticateOidc', { provider: 'x', token: 't' }, 9, 'OpenID authentication is not configured.'],
    ['OpenID', 'AuthenticateOidc', { token: 't' }, 3, 'OpenID provider is required.'],
  ])('%s %s', async (_, method, account, code, message) => {
    expect(await at.call(method, serverKeyAuth, { account, username: 'x[]' })).toMatchObject({ code, message });
  });

  test('Play Games without credentials of Google', async () => {
    expect(await at.call('AuthenticateGoogle', serverKeyAuth, { account: { token: '4/code' } })).toMatchObject(
      refused('Google'),
    );
  });

  test('a secret that is empty signs nobody', async () => {
    for (const secret of ['', appSecret]) {
      const signed_player_info = fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id: 'p' }, { secret });
      const account = { signed_player_info };
      expect((await at.call('AuthenticateFacebookInstantGame', serverKeyAuth, { account })).code).toBe(15);
    }
  });
});
