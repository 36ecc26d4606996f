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

/** Query parameters by name, each with its values in order; null for a bad escape or a `;`. */
export function parseQuery(rawQuery: string): Map<string, string[]> | null {
  const parameters = new Map<string, string[]>();
  if (rawQuery === '') return parameters;
  if (rawQuery.includes(';')) return null;
  for (const pair of rawQuery.split('&')) {
    if (pair === '') continue;
    const split = pair.indexOf('=');
    const name = decodeQueryText(split < 0 ? pair : pair.slice(0, split));
    const value = decodeQueryText(split < 0 ? '' : pair.slice(split + 1));
    if (name === null || value === null) return null;
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
