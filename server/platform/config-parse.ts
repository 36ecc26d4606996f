import type { Option, OptionValue } from './config-option.ts';

/** What a source says about an option: text, or several texts where the source can tell them apart. */
export type RawValue = string | readonly string[];

export type Parsed = { readonly value: OptionValue } | { readonly problem: string };

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...['true', 't', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', 'f', '0', 'no', 'off'].map((word) => [word, false] as const),
]);

/** The value of that option in its own type, checked against the option's own bounds. */
export function parseValue(option: Option, raw: RawValue): Parsed {
  if (option.type === 'string[]') return { value: typeof raw === 'string' ? [raw] : raw };
  if (typeof raw !== 'string') return { problem: 'is a list, but takes one value' };
  switch (option.type) {
    case 'string':
      return parseString(raw, option.minLength ?? 0, option.maxLength ?? Number.POSITIVE_INFINITY);
    case 'int':
      return parseInteger(raw, option.min, option.max ?? Number.MAX_SAFE_INTEGER);
    case 'bool': {
      const value = booleans.get(raw.trim().toLowerCase());
      return value === undefined ? { problem: 'must be true or false' } : { value };
    }
    case 'enum': {
      const value = raw.trim().toLowerCase();
      return option.choices.includes(value) ? { value } : { problem: `must be one of ${option.choices.join(', ')}` };
    }
    case 'json':
      return parseJson(raw);
  }
}

function parseString(raw: string, min: number, max: number): Parsed {
  if (raw.length < min && min === 1) return { problem: 'must not be empty' };
  if (raw.length < min || raw.length > max) return { problem: `must have ${min}-${max} characters` };
  return { value: raw };
}

function parseInteger(raw: string, min: number, max: number): Parsed {
  const value = Number(raw.trim());
  if (!/^[+-]?\d+$/.test(raw.trim()) || !Number.isSafeInteger(value)) return { problem: 'must be a whole number' };
  if (value >= min && value <= max) return { value };
  return { problem: max === Number.MAX_SAFE_INTEGER ? `must be at least ${min}` : `must be ${min}-${max}` };
}

function parseJson(raw: string): Parsed {
  const value = raw.trim();
  try {
    if (value !== '') JSON.parse(value);
    return { value };
  } catch {
    return { problem: 'must be JSON' };
  }
}

/** Nakama's `user:pass@host:port/db` as a URL that `pg` reads, or null when it cannot be one. */
export function addressToUrl(address: string): string | null {
  const bare = address.replace(/^postgres(ql)?:\/\//i, '');
  // The last @ ends the credentials: passwords may hold one.
  const at = bare.lastIndexOf('@');
  const [user, password] = at < 0 ? ['root', null] : splitOnce(bare.slice(0, at), ':');
  const match = /^(\[[0-9a-f:]+\]|[^:/?#\s]+)(?::(\d{1,5}))?(?:\/([^/?#\s]*))?(?:\?([^#\s]*))?$/i.exec(
    bare.slice(at + 1),
  );
  if (match === null || Number(match[2] ?? 1) > 65535) return null;
  const credentials = `${encodeOnce(user || 'root')}${password === null ? '' : `:${encodeOnce(password)}`}`;
  const query = match[4] ? `?${match[4]}` : '';
  return `postgresql://${credentials}@${match[1]}:${match[2] ?? '5432'}/${match[3] || 'nakama'}${query}`;
}

function splitOnce(text: string, separator: string): [string, string | null] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, null] : [text.slice(0, index), text.slice(index + 1)];
}

/** Percent-encodes what is not yet percent-encoded. */
function encodeOnce(text: string): string {
  try {
    return encodeURIComponent(decodeURIComponent(text));
  } catch {
    return encodeURIComponent(text);
  }
}
