import type { OidcProvider } from '../../../platform/config-social.ts';
import { invalidArgument } from '../../../platform/errors.ts';
import type { Provider } from '../../accounts/index.ts';
import { KeySet } from './key-set.ts';
import { type Credential, credential, fetchFields, notConfigured, type ProviderKit, toVerified } from './provider.ts';

// Whatever a provider may sign with by a key that it publishes.
const algorithms = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ');

interface Known {
  readonly settings: OidcProvider;
  readonly keys: KeySet;
}

/** The OpenID Connect providers of the operator's choice, by ID token. */
export class OpenId {
  readonly #kit: ProviderKit;
  readonly #providers: ReadonlyMap<string, Known>;

  /** @param allowHttp takes key sets that are not at https. */
  constructor(kit: ProviderKit, providers: readonly OidcProvider[], allowHttp: boolean) {
    this.#kit = kit;
    const locate = (settings: OidcProvider) => (deadline: number) => locateKeys(kit, settings, allowHttp, deadline);
    this.#providers = new Map(
      providers.map((settings) => [
        settings.name,
        { settings, keys: new KeySet(kit, `oidc ${settings.name}`, locate(settings)) },
      ]),
    );
  }

  /** Its name among all providers. Throws INVALID_ARGUMENT without one. */
  provider(name: string): Provider {
    if (name === '') throw invalidArgument('OpenID provider is required.');
    return `oidc:${name}`;
  }

  /** Throws INVALID_ARGUMENT when something is missing, FAILED_PRECONDITION for a provider that nobody has set up. */
  credential(name: string, token: string): Credential {
    const provider = this.provider(name);
    const known = this.#providers.get(name);
    if (known === undefined) throw notConfigured('OpenID');
    if (token === '') throw invalidArgument('OpenID token is required.');
    const { settings, keys } = known;
    const { issuer, audiences, claims } = settings;
    return credential('OpenID', token, this.#kit.log, async () => {
      const rules = { algorithms, issuers: [issuer], audiences, requiredClaims: ['exp', 'sub', 'aud'] };
      const payload = await keys.verify(token, rules);
      const claim = (name: string): unknown => (name === '' ? '' : payload[name]);
      return toVerified(provider, {
        id: claim(claims.id),
        username: claim(claims.username),
        displayName: claim(claims.displayName),
        avatarUrl: claim(claims.avatarUrl),
        // An address that the provider has not verified may be anybody's.
        email: payload.email_verified === false ? '' : claim(claims.email),
      });
    });
  }
}

/** Where the key set is: told by the operator, or by the issuer itself. */
async function locateKeys(
  { outbound }: ProviderKit,
  { name, issuer, jwksUri }: OidcProvider,
  allowHttp: boolean,
  deadline: number,
): Promise<string> {
  if (jwksUri !== '') return jwksUri;
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const { issuer: own, jwks_uri: found } = await fetchFields(outbound, { party: `oidc ${name}`, url, deadline });
  if (own !== issuer) throw new Error('the provider says that it is another issuer');
  if (typeof found !== 'string' || !(allowHttp ? /^https?:/ : /^https:/).test(found)) {
    throw new Error('the provider does not say where its keys are');
  }
  return found;
}
