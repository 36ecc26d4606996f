import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import type { Option, OptionValue } from './config-option.ts';
import { type ConfigOverrides, type ConfigValues, type OptionKey, options } from './config-options.ts';
import { addressToUrl, parseValue } from './config-parse.ts';
import { rules } from './config-rules.ts';
import {
  environmentName,
  type Findings,
  isOptionKey,
  isUnusedKey,
  readEnvironment,
  readFlags,
  readYaml,
  type Setting,
  type Source,
  unknownKey,
} from './config-sources.ts';
import { redacted, redactUrl } from './redact.ts';

export { configurationDocs, helpText } from './config-docs.ts';
export type { ConfigOverrides, ConfigValues, OptionKey } from './config-options.ts';
export type { Source } from './config-sources.ts';
export { longestName, workerCount } from './config-workers.ts';

/**
 * Every option's value, nested by group and frozen: `config.session.token_expiry_sec`. Printing or serialising the
 * whole or a group hides the secrets. `database.url` holds the database in use, whichever option named it.
 */
export type Config = ConfigValues & {
  /** Where the option's value came from. */
  source(key: OptionKey): Source;
  toJSON(): Record<string, unknown>;
};

/** The configuration cannot be used. Lists everything that is wrong with it, without the values. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`invalid configuration:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

export interface ConfigInput {
  /** Flags only: no program name, no command. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a YAML file; tests replace it. */
  readonly readFile?: (path: string) => string;
  /** False for commands that sign nothing: secrets are then neither asked for nor warned about. Default true. */
  readonly needsSecrets?: boolean;
  /** What the program itself settles; wins over all sources. */
  readonly overrides?: ConfigOverrides;
}

interface Values {
  readonly values: Map<string, OptionValue>;
  readonly sources: Map<string, Source>;
}

/**
 * Reads all sources, later ones winning: defaults, YAML files, environment, flags (spec: http-auth-accounts.md,
 * section 7). Throws ConfigError with all that is wrong. The warnings are for the log.
 */
export function loadConfig(input: ConfigInput): { config: Config; warnings: string[] } {
  const flags = readFlags(input.argv);
  const environment = readEnvironment(input.env);
  const paths = configPaths([environment, flags]);
  const files = paths.map((path) => readConfigFile(path, input.readFile ?? readText));
  return build([...files, environment, flags, readOverrides(input.overrides ?? {})], input.needsSecrets);
}

/** A configuration in dev mode with these values and otherwise the defaults, for tests. Throws ConfigError. */
export function configFrom(overrides: ConfigOverrides = {}): Config {
  return build([readOverrides({ dev: true, ...overrides })]).config;
}

function readOverrides(overrides: ConfigOverrides): Findings {
  const findings: Findings = { settings: [], problems: [], warnings: [] };
  for (const [key, value] of Object.entries(overrides)) {
    const raw = Array.isArray(value) ? value.map(String) : String(value);
    if (isOptionKey(key)) findings.settings.push({ key, raw, source: { kind: 'override', name: key } });
    else findings.problems.push(unknownKey(key));
  }
  return findings;
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function configPaths(findings: readonly Findings[]): readonly string[] {
  const setting = findings.flatMap(({ settings }) => settings).findLast(({ key }) => key === 'config');
  if (setting === undefined) return [];
  return typeof setting.raw === 'string' ? [setting.raw] : setting.raw;
}

function readConfigFile(path: string, readFile: (path: string) => string): Findings {
  try {
    return readYaml(path, readFile(path));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { settings: [], problems: [`${path}: cannot be read: ${reason}`], warnings: [] };
  }
}

/** Lays the sources over each other, in the given order, and checks the result. */
function build(findings: readonly Findings[], needsSecrets = true): { config: Config; warnings: string[] } {
  const problems = findings.flatMap((each) => each.problems);
  const warnings = findings.flatMap((each) => each.warnings);
  const settings = findings.flatMap((each) => each.settings);
  const result = resolve(settings, problems);
  // Rules between values make sense only when the values themselves do.
  if (problems.length === 0) {
    const values = nest(result.values) as ConfigValues;
    problems.push(...rules.map((rule) => rule(values)).filter((problem) => problem !== null));
  }
  if (needsSecrets) checkSecrets(result, problems, warnings);
  if (problems.length > 0) throw new ConfigError(problems);
  warnings.push(...unusedWarning(settings));
  chooseDatabase(result, warnings);
  return { config: toConfig(result), warnings };
}

function resolve(settings: readonly Setting[], problems: string[]): Values {
  const result: Values = { values: new Map(), sources: new Map() };
  const byKey = new Map<string, Setting>();
  for (const setting of settings) byKey.set(setting.key, setting);
  for (const option of options as readonly Option[]) {
    const setting = byKey.get(option.key);
    if (setting === undefined) {
      const isDev = option.type === 'bool' && option.devDefault !== undefined && result.values.get('dev') === true;
      result.values.set(option.key, isDev ? option.devDefault === true : option.default);
      result.sources.set(option.key, { kind: 'default', name: '' });
      continue;
    }
    const parsed = parseValue(option, setting.raw);
    if ('problem' in parsed) problems.push(`${option.key} ${parsed.problem} (${sourceName(setting.source)})`);
    else result.values.set(option.key, parsed.value);
    result.sources.set(option.key, setting.source);
  }
  return result;
}

function sourceName({ kind, name }: Source): string {
  return name === '' ? kind : `${kind} ${name}`;
}

/** Public default secrets are an error, except in dev (architecture: Config). */
function checkSecrets({ values }: Values, problems: string[], warnings: string[]): void {
  const insecure = (options as readonly Option[])
    .filter((option) => option.insecureDefault && values.get(option.key) === option.default)
    .map(({ key }) => key);
  if (insecure.length === 0) return;
  const keys = insecure.join(', ');
  if (values.get('dev') === true) warnings.push(`public default secrets in use, for development only: ${keys}`);
  else {
    const example = environmentName(insecure[0] ?? '');
    problems.push(`set these secrets (as in ${example}=...), or run with --dev: ${keys}`);
  }
}

function unusedWarning(settings: readonly Setting[]): string[] {
  const keys = new Set(settings.map(({ key }) => key).filter(isUnusedKey));
  return keys.size === 0 ? [] : [`accepted, but without effect in this version: ${[...keys].sort().join(', ')}`];
}

function chooseDatabase({ values, sources }: Values, warnings: string[]): void {
  const [address] = values.get('database.address') as readonly string[];
  if (address === undefined) return;
  const source = sources.get('database.url');
  if (values.get('database.url') !== '') {
    warnings.push(`database.address is ignored: database.url is set (${source ? sourceName(source) : 'default'})`);
    return;
  }
  values.set('database.url', addressToUrl(address) ?? '');
  sources.set('database.url', sources.get('database.address') ?? { kind: 'default', name: '' });
}

function toConfig({ values, sources }: Values): Config {
  const config = nest(values);
  const shown = nest(new Map((options as readonly Option[]).map((each) => [each.key, show(each, values)])));
  const source = (key: OptionKey): Source => sources.get(key) ?? { kind: 'default', name: '' };
  Object.defineProperty(config, 'source', { value: source });
  hideSecrets(config, shown);
  return config as Config;
}

function show(option: Option, values: ReadonlyMap<string, OptionValue>): OptionValue {
  const value = values.get(option.key) ?? option.default;
  if (value === '' || option.secret === undefined) return value;
  if (option.secret === true) return redacted;
  return typeof value === 'string' ? redactUrl(value) : (value as readonly string[]).map(redactUrl);
}

/** Makes JSON.stringify, console.log and the logger print `shown` in place of the object, and so for its groups. */
function hideSecrets(target: object, shown: Readonly<Record<string, unknown>>): void {
  for (const [name, group] of Object.entries(target)) {
    if (isGroup(group)) hideSecrets(group, shown[name] as Record<string, unknown>);
  }
  Object.defineProperty(target, 'toJSON', { value: () => shown });
  Object.defineProperty(target, inspect.custom, { value: () => shown });
  Object.freeze(target);
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nest(values: ReadonlyMap<string, OptionValue>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, value] of values) {
    const groups = key.split('.');
    const name = groups.pop() ?? '';
    let place = root;
    for (const group of groups) {
      place[group] ??= {};
      place = place[group] as Record<string, unknown>;
    }
    place[name] = typeof value === 'object' ? Object.freeze([...value]) : value;
  }
  return root;
}
