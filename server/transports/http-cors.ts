import type { HeaderList } from './listener.ts';

// Rules of the spec (http-auth-accounts.md, section 1.3).

const allowedMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE']);
const methodsToName = new Set(['PUT', 'DELETE']);
const allowedHeaders = new Map(
  ['Accept', 'Accept-Language', 'Content-Language', 'Origin', 'Authorization', 'Content-Type', 'User-Agent'].map(
    (name) => [name.toLowerCase(), name],
  ),
);
/** Headers a browser may send without being told so. */
const safeHeaders = new Set(['accept', 'accept-language', 'content-language', 'origin']);

export const corsHeaders: HeaderList = [['Access-Control-Allow-Origin', '*']];

export interface Preflight {
  readonly status: number;
  readonly headers: HeaderList;
}

/** The answer to an OPTIONS request that carries an Origin. */
export function preflight(requestedMethod: string | undefined, requestedHeaders: string | undefined): Preflight {
  if (requestedMethod === undefined || requestedMethod === '') return { status: 400, headers: [] };
  const method = requestedMethod.toUpperCase();
  if (!allowedMethods.has(method)) return { status: 405, headers: [] };
  const names = (requestedHeaders ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  if (names.some((name) => !allowedHeaders.has(name))) return { status: 403, headers: [] };

  const headers: [string, string][] = [['Access-Control-Allow-Origin', '*']];
  const named = names.filter((name) => !safeHeaders.has(name)).map((name) => allowedHeaders.get(name) ?? name);
  if (named.length > 0) headers.push(['Access-Control-Allow-Headers', named.join(',')]);
  if (methodsToName.has(method)) headers.push(['Access-Control-Allow-Methods', method]);
  return { status: 200, headers };
}
