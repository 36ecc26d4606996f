import type { Config } from '../../../platform/config.ts';
import { invalidArgument } from '../../../platform/errors.ts';
import { OutboundError } from '../../../platform/outbound.ts';
import { KeySet } from './key-set.ts';
import {
  type Credential,
  checkSize,
  credential,
  fetchFields,
  fieldsOf,
  type ProviderKit,
  toVerified,
  type Verified,
  withQuery,
} from './provider.ts';

const graph = 'https://graph.facebook.com/v22.0';

/** Facebook: tokens of limited login are verified here, access tokens by the Graph API. */
export class Facebook {
  readonly #kit: ProviderKit;
  readonly #audiences: readonly string[];
  readonly #keys: KeySet;

  constructor(kit: ProviderKit, settings: Config['social']['facebook_limited_login']) {
    this.#kit = kit;
    this.#audiences = settings.audiences;
    const address = 'https://limited.facebook.com/.well-known/oauth/openid/jwks/';
    this.#keys = new KeySet(kit, 'facebook', () => address);
  }

  /** Throws INVALID_ARGUMENT without a token. */
  credential(token: string): Credential {
    if (token === '') throw invalidArgument('Facebook access token is required.');
    return credential('Facebook', token, this.#kit.log, async () => {
      const deadline = this.#kit.outbound.deadline();
      // Access tokens have no dots, so that most of them need no key set.
      const limited = token.includes('.') ? await this.#limited(token).catch(nullUnlessUnreachable) : null;
      return limited ?? this.#classic(token, deadline);
    });
  }

  /**
   * The ids of the friends who play as well, one page after the other.
   * @param deadline of all pages together.
   */
  async *friendIds(token: string, deadline: number): AsyncGenerator<string[]> {
    checkSize(token);
    let after = '';
    for (;;) {
      const query = { access_token: token, ...(after === '' ? {} : { after }) };
      const url = withQuery(`${graph}/me/friends`, query);
      const { data, paging } = await fetchFields(this.#kit.outbound, {
        party: 'facebook',
        url,
        deadline: Math.min(deadline, this.#kit.outbound.deadline()),
      });
      if (!Array.isArray(data)) throw new Error('expected a list of friends');
      yield data.map((friend) => fieldsOf(friend).id).filter((id) => typeof id === 'string');
      const next = fieldsOf(fieldsOf(paging).cursors).after;
      if (!fieldsOf(paging).next || typeof next !== 'string' || next === '' || next === after) return;
      after = next;
    }
  }

  async #limited(token: string): Promise<Verified> {
    const { sub, name, email, picture } = await this.#keys.verify(token, {
      algorithms: ['RS256'],
      issuers: ['https://www.facebook.com', 'https://facebook.com'],
      audiences: this.#audiences,
    });
    return toVerified('facebook', { id: sub, displayName: name, email, avatarUrl: picture });
  }

  async #classic(token: string, deadline: number): Promise<Verified> {
    const url = withQuery(`${graph}/me`, { access_token: token, fields: 'id,name,email,picture' });
    const { id, name, email, picture } = await fetchFields(this.#kit.outbound, { party: 'facebook', url, deadline });
    const avatarUrl = fieldsOf(fieldsOf(picture).data).url;
    return toVerified('facebook', { id, displayName: name, email, avatarUrl }, { provider: 'facebook', token });
  }
}

/** Whoever could not be asked for the keys has taken its time already; the token may be what it should be. */
function nullUnlessUnreachable(error: unknown): null {
  if (error instanceof OutboundError) throw error;
  return null;
}
