import type { GoogleCredentials } from '../../../platform/config-social.ts';
import { fetchFields, type ProviderKit, toVerified, type Verified, withQuery } from './provider.ts';

/** Google Play Games: a server auth code is exchanged for a token, which tells who the player is. */
export class PlayGames {
  readonly #kit: ProviderKit;
  readonly #credentials: GoogleCredentials | null;

  constructor(kit: ProviderKit, credentials: GoogleCredentials | null) {
    this.#kit = kit;
    this.#credentials = credentials;
  }

  async byCode(code: string): Promise<Verified> {
    if (this.#credentials === null) throw new Error('there is no google_auth.credentials_json');
    const { outbound } = this.#kit;
    const deadline = outbound.deadline();
    const { clientId, clientSecret, tokenUri, redirectUri } = this.#credentials;
    const form = {
      grant_type: 'authorization_code',
      code,
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uri: redirectUri,
    };
    const { access_token } = await fetchFields(outbound, { party: 'google', url: tokenUri, form, deadline });
    if (typeof access_token !== 'string' || access_token === '') throw new Error('expected an access token');
    const url = withQuery('https://www.googleapis.com/games/v1/players/me', { access_token });
    const player = await fetchFields(outbound, { party: 'google', url, deadline });
    return toVerified('google', {
      id: player.playerId,
      displayName: player.displayName,
      avatarUrl: player.avatarImageUrl,
      formerId: player.originalPlayerId,
    });
  }
}
