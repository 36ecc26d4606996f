import { invalidArgument } from '../../platform/errors.ts';

// Rules and texts of the spec (http-auth-accounts.md, sections 3.2 to 3.4 and 4.1). Lengths are UTF-8 bytes.

const asciiWhitespaceOrControl = /[\0-\x20\x7f]/;
const hasWhitespaceOrControl = (text: string): boolean => asciiWhitespaceOrControl.test(text);
const invalidUsername = /[\0-\x1f\x7f]|\[\]/;

const bytes = (text: string): number => Buffer.byteLength(text);
const outside = (text: string, min: number, max: number): boolean => bytes(text) < min || bytes(text) > max;

/** Refuses a username that cannot be stored; an empty one is the caller's case to handle. */
export function checkUsername(username: string): void {
  if (invalidUsername.test(username)) {
    throw invalidArgument('Username invalid, no spaces or control characters allowed.');
  }
  if (outside(username, 1, 128)) throw invalidArgument('Username invalid, must be 1-128 bytes.');
}

export function checkDeviceId(id: string): void {
  if (id === '') throw invalidArgument('Device ID is required.');
  if (hasWhitespaceOrControl(id)) throw invalidArgument('Device ID invalid, no spaces or control characters allowed.');
  if (outside(id, 10, 128)) throw invalidArgument('Device ID invalid, must be 10-128 bytes.');
}

export function checkCustomId(id: string): void {
  if (id === '') throw invalidArgument('Custom ID is required.');
  if (hasWhitespaceOrControl(id)) throw invalidArgument('Custom ID invalid, no spaces or control characters allowed.');
  if (outside(id, 6, 128)) throw invalidArgument('Custom ID invalid, must be 6-128 bytes.');
}

/** As `checkCustomId`, in the words of the link route. */
export function checkCustomIdToLink(id: string): void {
  if (id === '') throw invalidArgument('Custom ID is required.');
  if (hasWhitespaceOrControl(id)) throw invalidArgument('Invalid custom ID, no spaces or control characters allowed.');
  if (outside(id, 6, 128)) throw invalidArgument('Invalid custom ID, must be 6-128 bytes.');
}

export function checkEmailCharacters(email: string): void {
  if (hasWhitespaceOrControl(email)) {
    throw invalidArgument('Invalid email address, no spaces or control characters allowed.');
  }
}

export function checkEmailShape(email: string): void {
  // Something, an @, something, a dot, something; in linear time for any length.
  const at = email.indexOf('@', 1);
  const dot = email.lastIndexOf('.', email.length - 2);
  if (at < 0 || dot < at + 2) throw invalidArgument('Invalid email address format.');
  if (outside(email, 10, 255)) throw invalidArgument('Invalid email address, must be 10-255 bytes.');
}

export function checkPassword(password: string): void {
  if (bytes(password) < 8) throw invalidArgument('Password must be at least 8 characters long.');
}

/** bcrypt reads no further than this; a longer password would be cut silently. */
export const maxPasswordBytes = 72;

export function isPasswordTooLong(password: string): boolean {
  return bytes(password) > maxPasswordBytes;
}
