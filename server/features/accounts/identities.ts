import { internalUnlessTransient } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Param, Statement } from '../../store/sql.ts';
import {
  builtInIdentity,
  type IdentityStatements,
  importEmail,
  openIdIdentity,
  type ProviderColumn,
  remapGoogleId,
} from './identity-queries.ts';

/** A third party that vouches for players; `oidc:` and a name for those of `social.oidc_providers`. */
export type Provider = keyof typeof builtIn | `oidc:${string}`;

/** Who somebody is to a third party. */
export interface Identity {
  readonly provider: Provider;
  readonly id: string;
}

/** What a third party knows of somebody; '' for what it does not say, or what is too long to be kept. */
export interface Profile {
  readonly displayName: string;
  readonly avatarUrl: string;
  readonly email: string;
  /** What a new account may be called if nobody is called that. */
  readonly username: string;
  /** What the id used to be, for Google Play Games. */
  readonly formerId: string;
}

const builtIn = {
  apple: { label: 'Apple', column: 'apple_id' },
  facebook: { label: 'Facebook', column: 'facebook_id' },
  facebook_instant_game: { label: 'Facebook Instant Game', column: 'facebook_instant_game_id' },
  google: { label: 'Google', column: 'google_id' },
  gamecenter: { label: 'GameCenter', column: 'gamecenter_id' },
  steam: { label: 'Steam', column: 'steam_id' },
} as const satisfies Record<string, { label: string; column: ProviderColumn }>;

export const builtInProviders = Object.keys(builtIn) as (keyof typeof builtIn)[];

const openIdPrefix = 'oidc:';

/** What error texts call it. */
export function providerLabel(provider: Provider): string {
  return isOpenId(provider) ? 'OpenID' : builtIn[provider].label;
}

export function providerColumn(provider: keyof typeof builtIn): ProviderColumn {
  return builtIn[provider].column;
}

export function statementsOf(provider: Provider): IdentityStatements {
  return isOpenId(provider) ? openIdIdentity : builtInIdentity[builtIn[provider].column];
}

/** The parameters by which statements find it. */
export function identityParams({ provider, id }: Identity): Param[] {
  return [...providerParams(provider), id];
}

/** The parameters that say which provider it is, where the statement does not say so itself. */
export function providerParams(provider: Provider): Param[] {
  return isOpenId(provider) ? [provider.slice(openIdPrefix.length)] : [];
}

function isOpenId(provider: Provider): provider is `oidc:${string}` {
  return provider.startsWith(openIdPrefix);
}

/** Gives the account with the former id the new one. False when there is no former id. */
export async function remapFormerId(db: Database, { id }: Identity, { formerId }: Profile): Promise<boolean> {
  if (formerId === '' || formerId === id) return false;
  await db.execute(remapGoogleId, [formerId, id]).catch((error) => {
    // The new id may belong to somebody already.
    if (violatedConstraint(error) === undefined) throw error;
  });
  return true;
}

/** Takes over an address that a provider vouches for, unless another user has it (spec: section 3.6). */
export async function importProviderEmail(
  db: Database,
  userId: string,
  provider: Provider,
  email: string,
): Promise<void> {
  try {
    await runTaking(db, importEmail, [userId, email]);
  } catch (error) {
    if (violatedConstraint(error) !== undefined) return;
    const label = providerLabel(provider).toLowerCase();
    throw internalUnlessTransient(error, `Error importing ${label} account email.`);
  }
}

/** An OpenID provider's name, which holds no space, and what follows it. */
export function splitIdentity(text: string): { provider: string; id: string } {
  const space = text.indexOf(' ');
  return { provider: text.slice(0, space), id: text.slice(space + 1) };
}

/** Runs a statement that gives somebody what may be taken; whoever is in doubt is asked again. */
export async function runTaking<Row>(db: Database, statement: Statement<Row>, params: Param[]): Promise<Row[]> {
  try {
    return await db.query(statement, params);
  } catch (error) {
    if (violatedConstraint(error) === undefined) throw error;
    // Taken between the look and the write, perhaps by this very user in another call.
    return db.query(statement, params);
  }
}
