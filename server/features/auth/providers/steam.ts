import type { Config } from '../../../platform/config.ts';
import { invalidArgument } from '../../../platform/errors.ts';
import {
  type Credential,
  credential,
  fetchFields,
  fieldsOf,
  notConfigured,
  type ProviderKit,
  toVerified,
  type Verified,
  withQuery,
} from './provider.ts';

const api = 'https://partner.steam-api.com';

interface TokenCheck {
  /** What is looked at first. */
  readonly first?: 'settings' | 'token';
  /** What a missing token is refused with. */
  readonly missing?: string;
}

/** Steam, by session ticket. */
export class Steam {
  readonly #kit: ProviderKit;
  readonly #settings: Config['social']['steam'];

  constructor(kit: ProviderKit, settings: Config['social']['steam']) {
    this.#kit = kit;
    this.#settings = settings;
  }

  /** Throws FAILED_PRECONDITION when Steam is off, INVALID_ARGUMENT without a token. */
  credential(
    token: string,
    { first = 'settings', missing = 'Steam access token is required.' }: TokenCheck = {},
  ): Credential {
    const isOff = this.#settings.publisher_key === '' || this.#settings.app_id === 0;
    if (isOff && (first === 'settings' || token !== '')) throw notConfigured('Steam');
    if (token === '') throw invalidArgument(missing);
    return credential('Steam', token, this.#kit.log, () => this.#authenticate(token));
  }

  /** The ids of the friends; none when the player keeps them private. */
  async *friendIds(steamId: string, deadline: number): AsyncGenerator<string[]> {
    const query = { key: this.#settings.publisher_key, steamid: steamId, relationship: 'friend' };
    const url = withQuery(`${api}/ISteamUser/GetFriendList/v0001/`, query);
    const { outbound } = this.#kit;
    const { status, body } = await outbound.call({
      party: 'steam',
      url,
      deadline: Math.min(deadline, outbound.deadline()),
    });
    if (status === 401) return;
    if (status !== 200) throw new Error(`steam answered with status ${status}`);
    const { friendslist, friendsList } = fieldsOf(JSON.parse(body.toString()));
    const { friends } = fieldsOf(friendslist ?? friendsList);
    if (!Array.isArray(friends)) throw new Error('expected a list of friends');
    yield friends.map((friend) => fieldsOf(friend).steamid).filter((id) => typeof id === 'string');
  }

  async #authenticate(ticket: string): Promise<Verified> {
    const { publisher_key: key, app_id: appId } = this.#settings;
    const query = { format: 'json', key, appid: String(appId), ticket };
    const url = withQuery(`${api}/ISteamUserAuth/AuthenticateUserTicket/v1/`, query);
    const { response } = await fetchFields(this.#kit.outbound, { party: 'steam', url });
    const { params, error } = fieldsOf(response);
    if (error !== undefined) throw new Error('steam refuses the ticket');
    const { steamid } = fieldsOf(params);
    if (typeof steamid !== 'string' || !/^[1-9]\d{0,19}$/.test(steamid)) throw new Error('expected a steam id');
    return toVerified('steam', { id: steamid }, { provider: 'steam', steamId: steamid });
  }
}
