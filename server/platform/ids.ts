import { randomInt, randomUUID } from 'node:crypto';

/** The system user's id, and "no id" in many a field. */
export const nilUuid = '00000000-0000-0000-0000-000000000000';

const canonical = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const longestSpelling = 'urn:uuid:'.length + nilUuid.length;
const urnPrefix = 'urn:uuid:';
const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** A random (version 4) UUID in canonical form. */
export function newId(): string {
  return randomUUID();
}

/**
 * The canonical lower-case form of a UUID, or null when the text is not one. Accepts, in any case: 36 characters with
 * hyphens, 32 hex digits, either of them in braces or after `urn:uuid:` (spec: http-auth-accounts.md, section 5.3).
 */
export function parseUuid(text: string): string | null {
  if (canonical.test(text)) return text;
  if (text.length < 32 || text.length > longestSpelling) return null;
  const bare = unwrap(text).toLowerCase();
  if (canonical.test(bare)) return bare;
  if (!/^[0-9a-f]{32}$/.test(bare)) return null;
  return [bare.slice(0, 8), bare.slice(8, 12), bare.slice(12, 16), bare.slice(16, 20), bare.slice(20)].join('-');
}

export function isNil(id: string): boolean {
  return id === nilUuid;
}

/** Ten random letters a-z A-Z, for accounts made without a username (spec: http-auth-accounts.md, section 3.2). */
export function generateUsername(): string {
  let name = '';
  for (let i = 0; i < 10; i++) name += letters.charAt(randomInt(letters.length));
  return name;
}

function unwrap(text: string): string {
  if (text.startsWith('{') && text.endsWith('}')) return text.slice(1, -1);
  return text.startsWith(urnPrefix) ? text.slice(urnPrefix.length) : text;
}
