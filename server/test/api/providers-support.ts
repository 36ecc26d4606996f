import { createHmac, randomBytes, sign, X509Certificate } from 'node:crypto';
import type { ConfigOverrides } from '../../platform/config.ts';
import { issueCertificate } from '../../testing/certificates.ts';
import { TestClock } from '../../testing/clock.ts';
import { claimsOf } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { Signer } from '../../testing/signer.ts';
import { type Page, StandIn } from '../../testing/stand-in.ts';

const hosts = [
  'appleid.apple.com',
  'limited.facebook.com',
  'graph.facebook.com',
  'www.googleapis.com',
  'oauth2.googleapis.com',
  'partner.steam-api.com',
  'static.gc.apple.com',
  'id.example.com',
  'sole.example.com',
];

/** Keys that a provider publishes; tests put others in. */
type Signers = [Signer, ...Signer[]];

const day = 86_400_000;
export const steamKey = 'publisher-key';
export const appSecret = 'app-secret';
export const issuers = { keycloak: 'https://id.example.com/realms/game', sole: 'https://sole.example.com/' };

/** The providers that suites speak to, as far as they are needed, with the keys that they sign with. */
export class FakeProviders {
  readonly clock = new TestClock();
  readonly web: StandIn;
  readonly apple: Signers = [new Signer('apple-1'), new Signer('apple-2')];
  readonly facebook: Signers = [new Signer('facebook-1')];
  readonly google: Signers = [new Signer('google-1'), new Signer('google-2')];
  readonly gameCenter = new Signer('game-center');
  readonly keycloak: Signers = [new Signer('keycloak-rsa'), new Signer('keycloak-ec', 'ES256')];
  /** Its key set is one key that has no name and does not say what it is for. */
  readonly sole = new Signer('sole');
  readonly #facebookUsers = new Map<string, { profile: object; friends: string[] }>();
  readonly #steamUsers = new Map<string, { id: string; friends: string[] | null }>();
  readonly #playGames = new Map<string, object>();

  private constructor(web: StandIn) {
    this.web = web;
    web.serve('appleid.apple.com/auth/keys', () => ({ json: { keys: this.apple.map(({ jwk }) => jwk) } }));
    web.serve('limited.facebook.com/.well-known/oauth/openid/jwks/', () => ({
      json: { keys: this.facebook.map(({ jwk }) => jwk) },
    }));
    web.serve('www.googleapis.com/oauth2/v1/certs', () => {
      const pem = (signer: Signer) => [signer.kid, pemOf(certificateOf(signer, this.clock.now() + 2 * day))];
      return { json: Object.fromEntries(this.google.map(pem)) };
    });
    const realm = 'id.example.com/realms/game';
    web.serve(`${realm}/.well-known/openid-configuration`, () => ({
      json: { issuer: issuers.keycloak, jwks_uri: `${issuers.keycloak}/certs` },
    }));
    web.serve(`${realm}/certs`, () => ({ json: { keys: this.keycloak.map(({ jwk }) => jwk) } }));
    web.serve('sole.example.com/keys', () => ({ json: { keys: [this.sole.publicKey.export({ format: 'jwk' })] } }));
    for (const path of ['', 'public-key/gc-prod-1.cer']) {
      web.serve(`static.gc.apple.com/${path}`, () => ({ bytes: this.#gameCenterCertificate() }));
    }
    web.serve('static.gc.apple.com/public-key/gc-prod-1.pem', () => ({
      bytes: Buffer.from(pemOf(this.#gameCenterCertificate())),
    }));
    this.#serveGraph();
    this.#serveSteam();
    this.#servePlayGames();
  }

  static async start(): Promise<FakeProviders> {
    return new FakeProviders(await StandIn.start(hosts));
  }

  /** All providers set up, and reached at the stand-in. */
  get config(): ConfigOverrides {
    const keycloak = { name: 'keycloak', issuer: issuers.keycloak, audiences: ['game', 'game-web'] };
    return {
      // Tokens are long; REST takes them anyway.
      'socket.max_message_size_bytes': 65_536,
      'outbound.routes': this.web.routes,
      'social.apple.bundle_id': 'com.example.game',
      'social.steam.publisher_key': steamKey,
      'social.steam.app_id': 480,
      'social.facebook_instant_game.app_secret': appSecret,
      'google_auth.credentials_json': JSON.stringify({
        web: { client_id: 'client', client_secret: 'secret', redirect_uris: ['https://game.example.com/back'] },
      }),
      'social.oidc_providers': JSON.stringify([
        { ...keycloak, claims: { username: 'preferred_username' } },
        {
          name: 'sole',
          issuer: issuers.sole,
          audiences: ['game'],
          jwks_uri: 'https://sole.example.com/keys',
          claims: { id: 'uid', display_name: 'nick', email: '' },
        },
      ]),
    };
  }

  /** Unix seconds, as tokens have them. */
  get now(): number {
    return Math.floor(this.clock.now() / 1000);
  }

  appleClaims(more: object = {}): object {
    const { now } = this;
    return {
      iss: 'https://appleid.apple.com',
      aud: 'com.example.game',
      exp: now + 600,
      iat: now,
      sub: unique('a'),
      ...more,
    };
  }

  facebookClaims(more: object = {}): object {
    const { now } = this;
    return { iss: 'https://www.facebook.com', aud: '1234567890', exp: now + 600, iat: now, sub: unique('f'), ...more };
  }

  googleClaims(more: object = {}): object {
    const { now } = this;
    const client = { azp: 'android-client', aud: 'web-client' };
    return { iss: 'https://accounts.google.com', ...client, exp: now + 600, iat: now, sub: unique('g'), ...more };
  }

  keycloakClaims(more: object = {}): object {
    const { now } = this;
    return { iss: issuers.keycloak, aud: 'game', exp: now + 600, iat: now, sub: unique('k'), ...more };
  }

  /** An access token of the Graph API. */
  facebookToken(profile: object, friends: string[] = []): string {
    const token = `EAA${randomBytes(12).toString('hex')}`;
    this.#facebookUsers.set(token, { profile, friends });
    return token;
  }

  /** A ticket. @param friends null for a private list. */
  steamTicket(id: string, friends: string[] | null = []): string {
    const ticket = randomBytes(16).toString('hex').toUpperCase();
    this.#steamUsers.set(ticket, { id, friends });
    return ticket;
  }

  playGamesCode(player: object): string {
    const code = `4/${randomBytes(12).toString('base64url')}`;
    this.#playGames.set(code, player);
    return code;
  }

  instantPlayer(payload: object, { secret = appSecret, hash = 'sha256' } = {}): string {
    const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
    return `${createHmac(hash, secret).update(text).digest('base64url')}.${text}`;
  }

  /** As the Game Center SDK hands it out. @param more replaces fields after they were signed. */
  gameCenterPlayer(playerId: string, more: object = {}): Record<string, unknown> {
    const [bundle_id, timestamp_seconds, salt] = ['com.example.game', 1_700_000_000, randomBytes(8)];
    const timestamp = Buffer.alloc(8);
    timestamp.writeBigUInt64BE(BigInt(timestamp_seconds));
    const text = Buffer.concat([Buffer.from(playerId), Buffer.from(bundle_id), timestamp, salt]);
    return {
      player_id: playerId,
      bundle_id,
      timestamp_seconds: String(timestamp_seconds),
      salt: salt.toString('base64'),
      signature: sign('sha256', text, this.gameCenter.privateKey).toString('base64'),
      public_key_url: 'https://static.gc.apple.com/public-key/gc-prod-1.cer',
      ...more,
    };
  }

  #gameCenterCertificate(): Buffer {
    return certificateOf(this.gameCenter, this.clock.now() + 365 * day);
  }

  #serveGraph(): void {
    const refusal: Page = { status: 400, json: { error: { type: 'OAuthException', code: 190 } } };
    this.web.serve('graph.facebook.com/v22.0/me', ({ query }) => {
      const user = this.#facebookUsers.get(query.get('access_token') ?? '');
      return user === undefined || query.get('fields') !== 'id,name,email,picture' ? refusal : { json: user.profile };
    });
    // Two friends on each page.
    this.web.serve('graph.facebook.com/v22.0/me/friends', ({ query }) => {
      const user = this.#facebookUsers.get(query.get('access_token') ?? '');
      if (user === undefined) return refusal;
      const from = Number(query.get('after') ?? 0);
      const cursors = { before: String(from), after: String(from + 2) };
      const next = from + 2 < user.friends.length ? { next: 'https://graph.facebook.com/v22.0/elsewhere' } : {};
      const data = user.friends.slice(from, from + 2).map((id) => ({ id, name: 'friend' }));
      return { json: { data, paging: { cursors, ...next } } };
    });
  }

  #serveSteam(): void {
    this.web.serve('partner.steam-api.com/ISteamUserAuth/AuthenticateUserTicket/v1/', ({ query }) => {
      if (query.get('key') !== steamKey) return { status: 403, json: {} };
      const user = this.#steamUsers.get(query.get('ticket') ?? '');
      if (user === undefined || query.get('appid') !== '480') {
        return { json: { response: { error: { errorcode: 3, errordesc: 'Invalid parameter' } } } };
      }
      const params = { result: 'OK', steamid: user.id, ownersteamid: user.id, vacbanned: false };
      return { json: { response: { params } } };
    });
    this.web.serve('partner.steam-api.com/ISteamUser/GetFriendList/v0001/', ({ query }) => {
      if (query.get('key') !== steamKey || query.get('relationship') !== 'friend') return { status: 403, json: {} };
      const user = [...this.#steamUsers.values()].findLast(({ id }) => id === query.get('steamid'));
      if (user === undefined || user.friends === null) return { status: 401, json: {} };
      const friends = user.friends.map((steamid) => ({ steamid, relationship: 'friend', friend_since: 0 }));
      return { json: { friendslist: { friends } } };
    });
  }

  #servePlayGames(): void {
    this.web.serve('oauth2.googleapis.com/token', ({ form }) => {
      const code = form.get('code') ?? '';
      const { grant_type, client_id, client_secret, redirect_uri } = Object.fromEntries(form);
      const isClient = client_id === 'client' && client_secret === 'secret' && grant_type === 'authorization_code';
      if (!this.#playGames.has(code) || !isClient || redirect_uri !== 'https://game.example.com/back') {
        return { status: 400, json: { error: 'invalid_grant' } };
      }
      return { json: { access_token: `ya29.${code}`, token_type: 'Bearer', expires_in: 3600 } };
    });
    this.web.serve('www.googleapis.com/games/v1/players/me', ({ query }) => {
      const player = this.#playGames.get((query.get('access_token') ?? '').slice('ya29.'.length));
      return player === undefined ? { status: 401, json: {} } : { json: player };
    });
  }
}

const certificateOf = (keys: Signer, validTo: number): Buffer =>
  issueCertificate({ name: keys.kid, keys, validTo }).der;
const pemOf = (der: Buffer): string => new X509Certificate(der).toString();

let steamIds = 0;

/** A Steam id that nobody has. */
export const newSteamId = (): string => `7656119${process.pid % 1000}${Date.now().toString().slice(-7)}${++steamIds}`;

/** Whose session an answer holds. */
export const userOf = ({ response }: { response: { token: string } }): string => claimsOf(response.token).uid;

/** What refuses a credential. */
export const refused = (label: string) => ({ code: 16, message: `Could not authenticate ${label} profile.` });
