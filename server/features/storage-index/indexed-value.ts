/** No text in the database can hold it: marks the texts of numbers. */
const mark = '\u0000';
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/**
 * Those members of a JSON object that are named, as compact JSON with sorted keys at every level. Numbers keep their
 * digits.
 */
export function indexedValue(text: string, names: readonly string[]): string {
  const marked = text.replace(tokens, (token) => (token.startsWith('"') ? token : `"\\u0000${token}"`));
  const value = JSON.parse(marked) as Record<string, unknown>;
  return write(
    Object.fromEntries(names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, value[name]])),
  );
}

function write(value: unknown): string {
  if (typeof value === 'string') return value.startsWith(mark) ? value.slice(mark.length) : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join()}]`;
  if (value === null || typeof value !== 'object') return String(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join()}}`;
}
