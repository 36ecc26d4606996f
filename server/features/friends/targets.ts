import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { isNil, parseUuid } from '../../platform/ids.ts';
import type { Accounts } from '../accounts/index.ts';
import type { ChangeWords } from './words.ts';

/** The user who acts. */
export interface Actor {
  /** Canonical UUID. */
  readonly id: string;
  /** As notifications are to name the user. */
  readonly username: string;
}

/** Whom it is about: any of both, or both together. */
export interface Targets {
  readonly ids: readonly string[];
  readonly usernames: readonly string[];
}

/** Most users in one call, as many as there can be notifications at once. */
export const maxTargets = 10_000;

/**
 * The users meant, each once; ids are not looked up, unknown names are left out (spec: social.md, section 1.4). Throws
 * INVALID_ARGUMENT for the actor themselves, for what is no id or name, and where there must be somebody.
 */
export async function resolveTargets(
  accounts: Accounts,
  actor: Actor,
  { ids, usernames }: Targets,
  words: ChangeWords,
): Promise<string[]> {
  if (ids.length + usernames.length > maxTargets) {
    throw invalidArgument(`Too many users, at most ${maxTargets} at once.`);
  }
  const found = new Set(ids.map((text) => parseTarget(text, actor, words)));
  for (const username of usernames) {
    if (username === '') throw invalidArgument(words.noUsername);
    if (username === actor.username) throw invalidArgument(words.self);
  }
  const users = await accounts.find([], usernames, []).catch((error) => {
    throw internalUnlessTransient(error, words.failed);
  });
  for (const { id } of users) {
    // The actor may have another name by now than the token says.
    if (id === actor.id) throw invalidArgument(words.self);
    found.add(id);
  }
  if (found.size === 0 && words.nobody !== null) throw invalidArgument(words.nobody);
  return [...found];
}

function parseTarget(text: string, actor: Actor, words: ChangeWords): string {
  const id = parseUuid(text);
  if (id === actor.id) throw invalidArgument(words.self);
  if (id === null || isNil(id)) throw invalidArgument(words.badId(text));
  return id;
}
