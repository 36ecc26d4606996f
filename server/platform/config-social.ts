import type { ConfigValues } from './config-options.ts';

/** An OpenID Connect provider that players may sign in with. */
export interface OidcProvider {
  /** What clients and the database call it. */
  readonly name: string;
  readonly issuer: string;
  /** At least one; a token must be meant for one of them. */
  readonly audiences: readonly string[];
  /** Where the key set is; '' asks the issuer. */
  readonly jwksUri: string;
  /** Names of the claims; '' for what is not taken over. */
  readonly claims: OidcClaims;
}

export interface OidcClaims {
  readonly id: string;
  readonly username: string;
  readonly displayName: string;
  readonly avatarUrl: string;
  readonly email: string;
}

/** The OAuth client that exchanges codes of Play Games. */
export interface GoogleCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly tokenUri: string;
  /** '' when the client has none. */
  readonly redirectUri: string;
}

type Fields = Readonly<Record<string, unknown>>;

const maxProviders = 64;
const providerKeys = ['name', 'issuer', 'audiences', 'jwks_uri', 'claims'];
const claimKeys = ['id', 'username', 'display_name', 'avatar_url', 'email'];

/** The value of `social.oidc_providers`. Throws an Error that says what is wrong with it. */
export function oidcProviders(json: string): OidcProvider[] {
  if (json === '') return [];
  const list: unknown = JSON.parse(json);
  if (!Array.isArray(list) || list.length > maxProviders) throw new Error(`must be a list of at most ${maxProviders}`);
  const providers = list.map(toProvider);
  const names = new Set(providers.map(({ name }) => name));
  if (names.size < providers.length) throw new Error('must not hold one name twice');
  return providers;
}

function toProvider(item: unknown): OidcProvider {
  const fields = objectOf(item, 'a provider', providerKeys);
  const name = textOf(fields, 'name');
  // The longest that its column holds, in characters that need no escaping anywhere.
  if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(name)) throw new Error('must name each provider in a-z, 0-9, _ and -');
  const issuer = textOf(fields, 'issuer');
  if (!isWebAddress(issuer)) throw new Error(`must give ${name} an issuer, as https://accounts.example.com`);
  const jwksUri = textOf(fields, 'jwks_uri');
  if (jwksUri !== '' && !isWebAddress(jwksUri)) throw new Error(`must give ${name} a jwks_uri that is an address`);
  const { audiences } = fields;
  const isList = Array.isArray(audiences) && audiences.every((each) => typeof each === 'string' && each !== '');
  if (!isList || audiences.length === 0) throw new Error(`must give ${name} audiences, a list of client ids`);
  return { name, issuer, audiences, jwksUri, claims: toClaims(fields.claims ?? {}) };
}

function toClaims(item: unknown): OidcClaims {
  const fields = objectOf(item, 'claims', claimKeys);
  const id = textOf(fields, 'id', 'sub');
  if (id === '') throw new Error('must say which claim is the id');
  return {
    id,
    username: textOf(fields, 'username'),
    displayName: textOf(fields, 'display_name', 'name'),
    avatarUrl: textOf(fields, 'avatar_url', 'picture'),
    email: textOf(fields, 'email', 'email'),
  };
}

const defaultTokenUri = 'https://oauth2.googleapis.com/token';

/** The value of `google_auth.credentials_json`, null for none. Throws an Error that says what is wrong with it. */
export function googleCredentials(json: string): GoogleCredentials | null {
  if (json === '') return null;
  const root = objectOf(JSON.parse(json), 'it');
  const client = objectOf(root.web ?? root.installed, 'its web or installed client');
  const credentials = {
    clientId: textOf(client, 'client_id'),
    clientSecret: textOf(client, 'client_secret'),
    tokenUri: textOf(client, 'token_uri', defaultTokenUri),
  };
  if (credentials.clientId === '' || credentials.clientSecret === '') {
    throw new Error('must hold client_id and client_secret');
  }
  if (!isWebAddress(credentials.tokenUri)) throw new Error('must hold a token_uri that is an address');
  const { redirect_uris: uris } = client;
  const redirectUri = Array.isArray(uris) && typeof uris[0] === 'string' ? uris[0] : '';
  return { ...credentials, redirectUri };
}

/** What must hold of the sign-in providers before the server starts; each yields its complaint. */
export const socialRules: readonly ((values: ConfigValues) => string | null)[] = [
  ({ dev, social }) =>
    complaint('social.oidc_providers', () => {
      for (const { name, issuer, jwksUri } of oidcProviders(social.oidc_providers)) {
        if (!dev && [issuer, jwksUri].some(isInsecure)) throw new Error(`must use https for ${name}`);
      }
    }),
  ({ dev, google_auth }) =>
    complaint('google_auth.credentials_json', () => {
      const credentials = googleCredentials(google_auth.credentials_json);
      if (!dev && isInsecure(credentials?.tokenUri ?? '')) throw new Error('must use https for token_uri');
    }),
];

function complaint(key: string, check: () => void): string | null {
  try {
    check();
    return null;
  } catch (error) {
    return `${key} ${(error as Error).message}`;
  }
}

function objectOf(value: unknown, what: string, known?: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`must have ${what} be an object`);
  const unknown = known === undefined ? [] : Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`knows ${known?.join(', ')} of ${what}, and no other key`);
  return value as Fields;
}

function textOf(fields: Fields, key: string, otherwise = ''): string {
  const value = fields[key] ?? otherwise;
  if (typeof value !== 'string') throw new Error(`must have ${key} be text`);
  return value;
}

function isWebAddress(text: string): boolean {
  return /^https?:\/\/[^\s?#]+$/.test(text) && URL.canParse(text);
}

const isInsecure = (address: string): boolean => address.startsWith('http:');
