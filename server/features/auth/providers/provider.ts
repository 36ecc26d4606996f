import type { Logger } from 'pino';
import type { Clock } from '../../../platform/clock.ts';
import { AppError, Code } from '../../../platform/errors.ts';
import type { Outbound, OutboundRequest } from '../../../platform/outbound.ts';
import type { Identity, Profile, Provider } from '../../accounts/index.ts';

/** What every provider works with. */
export interface ProviderKit {
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Where a player's friends can be had from. */
export type FriendSource =
  | { readonly provider: 'facebook'; readonly token: string }
  | { readonly provider: 'steam'; readonly steamId: string };

/** What a provider vouches for. */
export interface Verified {
  readonly identity: Identity;
  readonly profile: Profile;
  readonly friends: FriendSource | null;
}

/** A credential that is complete. Whether it is genuine turns out when it is called; throws UNAUTHENTICATED. */
export type Credential = () => Promise<Verified>;

/** Longer ones are no credentials of anybody. */
const maxCredentialBytes = 16 * 1024;

export const notConfigured = (label: string): AppError =>
  new AppError(Code.FAILED_PRECONDITION, `${label} authentication is not configured.`);

/**
 * A credential as clients know it: whatever goes wrong with the verification, be it forged or the provider away, is one
 * refusal (spec: http-auth-accounts.md, section 3.5). The log knows the difference.
 */
export function credential(label: string, token: string, log: Logger, verify: () => Promise<Verified>): Credential {
  return () =>
    verified(label, log, () => {
      checkSize(token);
      return verify();
    });
}

/** The same for other work that takes a credential. */
export async function verified<T>(label: string, log: Logger, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    log.debug({ err: error, provider: label }, 'a credential was refused');
    throw new AppError(Code.UNAUTHENTICATED, `Could not authenticate ${label} profile.`, { cause: error });
  }
}

/** Throws for what is too long to be passed on. */
export function checkSize(token: string): void {
  if (Buffer.byteLength(token) > maxCredentialBytes) throw new Error('the credential is too long');
}

const blank: Profile = { displayName: '', avatarUrl: '', email: '', username: '', formerId: '' };

interface Claims {
  readonly id: unknown;
  readonly displayName?: unknown;
  readonly avatarUrl?: unknown;
  readonly email?: unknown;
  readonly username?: unknown;
  readonly formerId?: unknown;
}

/** Reads what a provider said. Throws when it said no proper id; of the rest, what cannot be kept is left out. */
export function toVerified(provider: Provider, claims: Claims, friends: FriendSource | null = null): Verified {
  const id = storable(claims.id, provider.startsWith('oidc:') ? 255 : 128);
  if (id === '') throw new Error('the provider tells no id that can be kept');
  const profile = {
    ...blank,
    displayName: storable(claims.displayName, 255),
    avatarUrl: storable(claims.avatarUrl, 512),
    email: storable(claims.email, 255),
    username: storable(claims.username, 128),
    formerId: storable(claims.formerId, 128),
  };
  return { identity: { provider, id }, profile, friends };
}

/** The text if its column takes it; '' otherwise. */
function storable(value: unknown, maxBytes: number): string {
  return typeof value === 'string' && !value.includes('\0') && Buffer.byteLength(value) <= maxBytes ? value : '';
}

export type Fields = Readonly<Record<string, unknown>>;

/** The fields of a JSON object; of anything else, none. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** The JSON object that a provider answers. Throws for any status but 200, and for any other text. */
export async function fetchFields(outbound: Outbound, request: OutboundRequest): Promise<Fields> {
  const { status, body } = await outbound.call(request);
  if (status !== 200) throw new Error(`${request.party} answered with status ${status}`);
  const value: unknown = JSON.parse(body.toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('expected a JSON object');
  return value as Fields;
}

/** That address with these query parameters. */
export function withQuery(address: string, query: Readonly<Record<string, string>>): string {
  return `${address}?${new URLSearchParams(query)}`;
}
