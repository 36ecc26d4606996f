import type { Links, Provider } from '../accounts/index.ts';
import type { Actor } from '../friends/index.ts';
import type { FriendImports } from './friend-imports.ts';
import type { Credential } from './providers/index.ts';

/** Adds third parties to what an account signs in with, and takes them away (spec: http-auth-accounts.md, section 4). */
export class ProviderLinks {
  readonly #links: Links;
  readonly #imports: FriendImports;

  constructor(links: Links, imports: FriendImports) {
    this.#links = links;
    this.#imports = imports;
  }

  /**
   * Throws ALREADY_EXISTS when another user has the identity.
   * @param sync has friends there imported afterwards.
   */
  async link(actor: Actor, verify: Credential, sync = false): Promise<void> {
    const { identity, profile, friends } = await verify();
    await this.#links.linkIdentity(actor.id, identity, profile);
    if (sync) this.#imports.later(actor, friends);
  }

  /** @param verify has to be the identity that is linked; null for whichever that is. */
  async unlink(userId: string, provider: Provider, verify: Credential | null): Promise<void> {
    const id = verify === null ? '' : (await verify()).identity.id;
    await this.#links.unlinkIdentity(userId, { provider, id });
  }
}
