/** Tokens that no login made, for the suites that try to get in with them. */
import { createHmac } from 'node:crypto';
import { configFrom } from '../../platform/config.ts';
import { claimsOf } from '../../testing/http.ts';
import { Random } from '../../testing/random.ts';

const { session } = configFrom({});
export const sessionKey = session.encryption_key;
export const refreshKey = session.refresh_encryption_key;

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token with any header and payload, signed with that key. Texts go in as they are. */
export function sign(payload: unknown, { header = {}, key = sessionKey, hash = 'sha256' } = {}): string {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', ...header })}.${encode(payload)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`;
}

interface Forgery {
  readonly name: string;
  readonly token: string;
}

/** Tokens that look like the given valid one and must not be taken for it. */
export function forgeries(token: string, refreshToken: string, otherToken: string): Forgery[] {
  const [head = '', body = '', signature = ''] = token.split('.');
  const [, otherBody = '', otherSignature = ''] = otherToken.split('.');
  const claims = claimsOf(token) as Record<string, unknown>;
  const without = (name: string): object => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
  const unsigned = (alg: unknown): string => `${encode({ alg, typ: 'JWT' })}.${body}`;
  const now = Math.floor(Date.now() / 1000);
  const rawExp = (text: string): string => JSON.stringify(claims).replace(/"exp":\d+/, `"exp":${text}`);
  return Object.entries({
    'nothing but dots': '..',
    'alg none, no signature': `${unsigned('none')}.`,
    'alg None, the old signature': `${unsigned('None')}.${signature}`,
    'alg null': `${unsigned(null)}.${signature}`,
    'no alg': `${encode({ typ: 'JWT' })}.${body}.${signature}`,
    'alg none, signed': sign(claims, { header: { alg: 'none' } }),
    HS512: sign(claims, { header: { alg: 'HS512' }, hash: 'sha512' }),
    HS384: sign(claims, { header: { alg: 'HS384' }, hash: 'sha384' }),
    'HS256 said to be RS256': sign(claims, { header: { alg: 'RS256' } }),
    'alg in lower case': sign(claims, { header: { alg: 'hs256' } }),
    'signed with another key': sign(claims, { key: 'anotherkey' }),
    'signed with the server key': sign(claims, { key: 'defaultkey' }),
    'signed with an empty key': sign(claims, { key: '' }),
    'signed with the refresh key': sign(claims, { key: refreshKey }),
    'a refresh token': refreshToken,
    'another user’s claims under this signature': `${head}.${otherBody}.${signature}`,
    'these claims under another signature': `${head}.${body}.${otherSignature}`,
    'another user id': `${head}.${encode({ ...claims, uid: claimsOf(otherToken).uid })}.${signature}`,
    'a later expiry': `${head}.${encode({ ...claims, exp: now + 99_999 })}.${signature}`,
    'a cut signature': token.slice(0, -1),
    'half a signature': token.slice(0, -21),
    'no signature': `${head}.${body}.`,
    'two parts': `${head}.${body}`,
    'four parts': `${token}.x`,
    'an empty fourth part': `${token}.`,
    'padded base64': `${token}=`,
    'a signature with spare bits set': spareBits(token),
    'a signature in standard base64': `${head}.${body}.${signature.replaceAll('-', '+').replaceAll('_', '/')}==`,
    'a line break inside': `${head}.${body}\n.${signature}`,
    'a NUL at its end': `${token}\0`,
    'a space before': ` ${token}`,
    'no exp': sign(without('exp')),
    'exp as text': sign({ ...claims, exp: String(now + 7200) }),
    'exp null': sign({ ...claims, exp: null }),
    'exp true': sign({ ...claims, exp: true }),
    'exp 0': sign({ ...claims, exp: 0 }),
    'exp now': sign({ ...claims, exp: now }),
    'exp past': sign({ ...claims, exp: now - 1 }),
    'exp negative': sign({ ...claims, exp: -now }),
    'exp endless': sign(rawExp('1e999')),
    'no uid': sign(without('uid')),
    'the system user': sign({ ...claims, uid: '00000000-0000-0000-0000-000000000000' }),
    'the system user, otherwise spelled': sign({ ...claims, uid: '{00000000000000000000000000000000}' }),
    'uid empty': sign({ ...claims, uid: '' }),
    'uid garbage': sign({ ...claims, uid: 'not a uuid' }),
    'uid null': sign({ ...claims, uid: null }),
    'uid a number': sign({ ...claims, uid: 0 }),
    'uid a list': sign({ ...claims, uid: [claims['uid']] }),
    'uid with a tail': sign({ ...claims, uid: `${claims['uid']} ` }),
    'vrs with a number': sign({ ...claims, vrs: { a: 1 } }),
    'vrs a list': sign({ ...claims, vrs: ['a'] }),
    'vrs a text': sign({ ...claims, vrs: 'a' }),
    'claims that are a list': sign([claims]),
    'claims that are a text': sign('"claims"'),
    'claims that are null': sign('null'),
    'claims that are no JSON': sign(`${JSON.stringify(claims)}}`),
    'empty claims': sign(''),
  }).map(([name, forged]) => ({ name, token: forged }));
}

/** The same signature bytes in another spelling: the last character carries two bits that mean nothing. */
function spareBits(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(token.at(-1) ?? '');
  return token.slice(0, -1) + alphabet.charAt(last ^ 1);
}

/** Tokens with a proper signature that leave out what may be left out. */
export function unusual(token: string): Forgery[] {
  const { exp, uid, ...rest } = claimsOf(token);
  const header = { typ: undefined };
  return Object.entries({
    'no typ': sign({ exp, uid, ...rest }, { header: header as object }),
    'uid and exp alone': sign({ exp, uid }),
    'uid in capitals': sign({ exp, uid: uid.toUpperCase() }),
    'uid without hyphens': sign({ exp, uid: uid.replaceAll('-', '') }),
    'issued in the future, not valid before later': sign({ exp, uid, iat: exp + 10, nbf: exp + 10 }),
    'vrs null': sign({ exp, uid, vrs: null }),
    'unknown claims': sign({ exp, uid, aud: 'x', iss: ['y'], admin: true }),
  }).map(([name, made]) => ({ name, token: made }));
}

/** So many different damaged copies of the token; the same ones for the same seed. */
export function mutations(token: string, others: readonly string[], count: number, seed: number): string[] {
  const random = new Random(seed);
  const made = new Set<string>();
  while (made.size < count) {
    let mutant = token;
    for (let edits = 1 + random.below(3); edits > 0; edits--) mutant = mutate(mutant, others, random);
    // White space around a header's value is not part of it.
    if (mutant.trim() !== token && mutant.trim() !== '') made.add(mutant);
  }
  return [...made];
}

const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index));
const base64url = printable.filter((char) => /[\w-]/.test(char));

function mutate(token: string, others: readonly string[], random: Random): string {
  const at = random.below(token.length + 1);
  const length = 1 + random.below(6);
  const parts = token.split('.');
  const part = random.below(parts.length);
  const [before, after] = [token.slice(0, at), token.slice(at + length)];
  const span = token.slice(at, at + length);
  switch (random.below(9)) {
    case 0:
      return before + random.pick(base64url) + token.slice(at + 1);
    case 1:
      return before + random.pick(printable) + token.slice(at);
    case 2:
      return before + after;
    case 3:
      return before + span.toUpperCase() + after;
    case 4:
      return before + [...span].reverse().join('') + after;
    case 5:
      return before;
    case 6:
      return parts.with(part, random.pick(others).split('.')[part] ?? '').join('.');
    case 7:
      return parts.with(part, flipBit(parts[part] ?? '', random)).join('.');
    default:
      return parts.with(part, random.pick(parts)).join('.');
  }
}

function flipBit(part: string, random: Random): string {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.length > 0) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  }
  return bytes.toString('base64url');
}
