/**
 * The path's decoded segments, or null for escapes that are malformed or no UTF-8. An escaped slash splits segments as
 * well.
 */
export function pathSegments(rawPath: string): string[] | null {
  if (!rawPath.includes('%')) return rawPath.split('/').slice(1);
  try {
    return decodeURIComponent(rawPath).split('/').slice(1);
  } catch {
    return null;
  }
}

/** The path without `//`, `/./` and `/../`; the same text when it is clean already. */
export function cleanPath(path: string): string {
  if (!path.includes('//') && !path.includes('/.')) return path;
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  const isFolder = path.endsWith('/') && segments.length > 0;
  return `/${segments.join('/')}${isFolder ? '/' : ''}`;
}

/**
 * Query parameters by name, each with its values in order. A pair with a bad escape or a `;` makes the whole query
 * null, or is left out with `skip`.
 */
export function parseQuery(rawQuery: string): Map<string, string[]> | null;
export function parseQuery(rawQuery: string, malformed: 'skip'): Map<string, string[]>;
export function parseQuery(rawQuery: string, malformed?: 'skip'): Map<string, string[]> | null {
  const parameters = new Map<string, string[]>();
  for (const pair of rawQuery.split('&')) {
    if (pair === '') continue;
    const split = pair.indexOf('=');
    const name = decodeQueryText(split < 0 ? pair : pair.slice(0, split));
    const value = decodeQueryText(split < 0 ? '' : pair.slice(split + 1));
    if (name === null || value === null || pair.includes(';')) {
      if (malformed === 'skip') continue;
      return null;
    }
    const values = parameters.get(name);
    if (values === undefined) parameters.set(name, [value]);
    else values.push(value);
  }
  return parameters;
}

function decodeQueryText(text: string): string | null {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
