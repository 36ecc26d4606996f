import { parseDocument } from 'yaml';
import { ignoredKeys, type OptionKey, options, plannedKeys } from './config-options.ts';
import type { RawValue } from './config-parse.ts';

/** Where a value came from; the later kinds win over the earlier ones. */
export interface Source {
  readonly kind: 'default' | 'file' | 'environment' | 'flag' | 'override';
  /** The file's path, the variable's name, or the flag; empty for defaults. */
  readonly name: string;
}

/** One value as a source states it. The key is known to be one of ours or of Nakama's. */
export interface Setting {
  readonly key: string;
  readonly raw: RawValue;
  readonly source: Source;
}

/** Settings found, and what is wrong or odd with the rest. */
export interface Findings {
  readonly settings: Setting[];
  readonly problems: string[];
  readonly warnings: string[];
}

const environmentPrefix = 'MUSTER_';

const optionsByKey: ReadonlyMap<string, (typeof options)[number]> = new Map(options.map((each) => [each.key, each]));

const unusedKeys: ReadonlySet<string> = new Set([
  ...Object.keys(ignoredKeys),
  ...Object.entries(plannedKeys).flatMap(([group, names]) => names.map((name) => `${group}.${name}`)),
]);

export function isOptionKey(key: string): key is OptionKey {
  return optionsByKey.has(key);
}

/** A key of Nakama's that means nothing here. */
export function isUnusedKey(key: string): boolean {
  return unusedKeys.has(key);
}

const isKnown = (key: string): boolean => isOptionKey(key) || isUnusedKey(key);

/** `MUSTER_SESSION_TOKEN_EXPIRY_SEC` for `session.token_expiry_sec`. */
export function environmentName(key: string): string {
  return environmentPrefix + key.toUpperCase().replaceAll('.', '_');
}

/** Settings of a YAML file, nested by group as in Nakama's, or with dotted keys. */
export function readYaml(path: string, text: string): Findings {
  const findings = noFindings();
  // Failsafe: every scalar stays the text that was written, so that a key of 0123 is not read as the number 83.
  const document = parseDocument(text, { schema: 'failsafe', merge: true, customTags: (tags) => [...tags, 'null'] });
  if (document.errors.length > 0) {
    // Only the first line: the others quote the file, which holds secrets.
    for (const error of document.errors) findings.problems.push(`${path}: ${error.message.split(':\n')[0]}`);
    return findings;
  }
  const root: unknown = document.toJS();
  if (root === null) return findings;
  if (!isMap(root)) {
    findings.problems.push(`${path}: must be a map of keys to values`);
    return findings;
  }
  flatten('', root, { kind: 'file', name: path }, findings);
  return findings;
}

function flatten(prefix: string, map: Record<string, unknown>, source: Source, findings: Findings): void {
  for (const [name, value] of Object.entries(map)) {
    const key = prefix + name;
    if (value === null) continue;
    if (optionsByKey.get(key)?.type === 'json') {
      findings.settings.push({ key, raw: typeof value === 'string' ? value : JSON.stringify(value), source });
    } else if (isMap(value) && !isKnown(key)) flatten(`${key}.`, value, source, findings);
    else if (!isKnown(key)) findings.problems.push(`${source.name}: ${unknownKey(key)}`);
    else if (key === 'config') findings.warnings.push(`${source.name}: config has no effect inside a file`);
    else if (typeof value === 'string') findings.settings.push({ key, raw: value, source });
    else if (isTextList(value)) findings.settings.push({ key, raw: value, source });
    // What an unused key holds does not matter.
    else if (isUnusedKey(key)) findings.settings.push({ key, raw: '', source });
    else findings.problems.push(`${source.name}: ${key} must be a plain value or a list of them`);
  }
}

/** Variables that hosting platforms set, with the options they stand for. */
const commonVariables = [
  ['DATABASE_URL', 'database.url'],
  ['REDIS_URL', 'redis.url'],
] as const;

/** Settings of the process environment. Variables of ours that name no option are only warned about. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): Findings {
  const findings = noFindings();
  const keys = new Map([...optionsByKey.keys(), ...unusedKeys].map((key) => [environmentName(key), key]));
  for (const [name, key] of commonVariables) {
    const raw = env[name];
    if (raw) findings.settings.push({ key, raw, source: { kind: 'environment', name } });
  }
  for (const [name, text] of Object.entries(env)) {
    if (text === undefined || !name.startsWith(environmentPrefix)) continue;
    const key = keys.get(name);
    if (key === undefined) {
      // Kubernetes adds MUSTER_SERVICE_HOST and the like for a service called muster, so this is no error.
      const closest = environmentName(closestKey(name.slice(environmentPrefix.length).toLowerCase()));
      findings.warnings.push(`environment: ${name} is not an option; the closest is ${closest}`);
      continue;
    }
    const type = optionsByKey.get(key)?.type;
    // An empty variable is how compose files say "not set"; only texts can be empty on purpose.
    if (text === '' && type !== 'string') continue;
    const raw = type === 'string[]' ? splitList(text) : text;
    findings.settings.push({ key, raw, source: { kind: 'environment', name } });
  }
  return findings;
}

/** A JSON array of texts, or a comma-separated list. */
function splitList(text: string): readonly string[] {
  if (text.startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text);
      if (isTextList(list)) return list;
    } catch {
      // Not JSON: an address may begin with a bracket.
    }
  }
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** Settings of the command line: `--group.key value` or `--group.key=value`; list flags repeat. */
export function readFlags(argv: readonly string[]): Findings {
  const findings = noFindings();
  const lists = new Map<string, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    const match = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word);
    if (match === null) {
      findings.problems.push(`command line: unexpected word '${word}'`);
      continue;
    }
    const key = match[1] ?? '';
    const next = argv[i + 1];
    const hasNext = next !== undefined && !next.startsWith('--');
    if (!isKnown(key)) {
      findings.problems.push(`command line: ${unknownKey(key)}`);
      if (match[2] === undefined && hasNext) i++;
      continue;
    }
    const option = optionsByKey.get(key);
    const mayStandAlone = option === undefined || option.type === 'bool';
    let text = match[2];
    if (text === undefined && hasNext) {
      text = next;
      i++;
    } else if (text === undefined && mayStandAlone) text = 'true';
    if (text === undefined) findings.problems.push(`command line: --${key} needs a value`);
    else addFlag(key, text, option?.type === 'string[]', lists, findings);
  }
  return findings;
}

function addFlag(
  key: string,
  text: string,
  isList: boolean,
  lists: Map<string, string[]>,
  { settings }: Findings,
): void {
  const source: Source = { kind: 'flag', name: `--${key}` };
  if (!isList) {
    settings.push({ key, raw: text, source });
    return;
  }
  const list = lists.get(key);
  if (list !== undefined) {
    list.push(text);
    return;
  }
  const first = [text];
  lists.set(key, first);
  settings.push({ key, raw: first, source });
}

function noFindings(): Findings {
  return { settings: [], problems: [], warnings: [] };
}

export function unknownKey(key: string): string {
  return `unknown key ${key}; did you mean ${closestKey(key)}?`;
}

/** The known key that takes the fewest edits. */
function closestKey(key: string): string {
  const normal = key.slice(0, 64).replaceAll('-', '_');
  let best = '';
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of [...optionsByKey.keys(), ...unusedKeys]) {
    const distance = editDistance(normal, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
