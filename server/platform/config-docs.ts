import type { Option } from './config-option.ts';
import { ignoredKeys, options, plannedKeys } from './config-options.ts';

interface Group {
  readonly name: string;
  readonly options: readonly Option[];
}

/** The options as `--help` lists them. */
export function helpText(): string {
  const lines = [
    'Options, each as a flag (--key value), an environment variable (MUSTER_KEY, dots as underscores),',
    'or a key in a YAML file (--config file.yml):',
  ];
  for (const group of groups()) {
    lines.push('');
    for (const option of group.options) {
      lines.push(`  --${option.key} <${typeText(option)}>${defaultText(option)}`);
      lines.push(...wrap(option.description, 94).map((line) => `      ${line}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

/** The text of docs/configuration.md. A test holds the file to it. */
export function configurationDocs(): string {
  return `${[introduction, ...groups().map(groupSection), ignoredSection(), plannedSection()].join('\n\n')}\n`;
}

const introduction = `# Configuration

<!-- Generated from server/platform/config-options*.ts; \`npx vitest run server/platform -u\` rewrites it. -->

Every option has a default. Sources that come later win:

1. defaults,
2. YAML files named by \`--config\`, in their order,
3. environment variables: \`MUSTER_\` and the key in upper case with dots as underscores
   (\`MUSTER_SESSION_TOKEN_EXPIRY_SEC\`), \`DATABASE_URL\` and \`REDIS_URL\`,
4. flags: \`--session.token_expiry_sec 7200\` or \`--session.token_expiry_sec=7200\`.

A file nests keys by group:

\`\`\`yaml
name: node1
session:
  token_expiry_sec: 7200
\`\`\`

- A flag of a list repeats (\`--config a.yml --config b.yml\`). In the environment a list is separated by commas, or
  written as a JSON array when an item holds a comma.
- Boolean flags: \`--dev\`, \`--dev=true\` and \`--dev true\` mean the same. In Nakama the last form ends the reading of
  flags silently; here a word that belongs to no flag is an error.
- All problems are reported together, and the server does not start. A key that neither Muster nor Nakama knows is a
  problem; an unknown variable that begins with \`MUSTER_\` is only warned about, because Kubernetes sets such variables
  for a service called \`muster\`.
- Options marked **secret** never appear in logs. Those with a public default must be set, unless \`dev\` is on.`;

function groups(): readonly Group[] {
  const byName = new Map<string, Option[]>();
  for (const option of options as readonly Option[]) {
    const name = option.key.includes('.') ? (option.key.split('.')[0] ?? '') : '';
    byName.set(name, [...(byName.get(name) ?? []), option]);
  }
  return [...byName].map(([name, members]) => ({ name, options: members }));
}

function groupSection(group: Group): string {
  const rows = group.options.map((option) => {
    const notes = [
      ...(option.secret === undefined ? [] : ['**secret**']),
      ...(option.insecureDefault ? ['must be set'] : []),
    ];
    const description = [option.description, ...(notes.length > 0 ? [`(${notes.join(', ')})`] : [])].join(' ');
    return `| \`${option.key}\` | ${typeText(option).replaceAll('|', '\\|')} | ${markdownDefault(option)} | ${description} |`;
  });
  const heading = group.name === '' ? '## Top level' : `## ${group.name}`;
  return [heading, '', '| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

function ignoredSection(): string {
  const rows = Object.entries(ignoredKeys).map(([key, reason]) => `| \`${key}\` | ${reason} |`);
  const text = 'A configuration made for Nakama may hold these. They have no effect, and the server says so at start.';
  return ['## Accepted without effect', '', text, '', '| key | instead |', '|---|---|', ...rows].join('\n');
}

function plannedSection(): string {
  const rows = Object.entries(plannedKeys).map(
    ([group, names]) => `- \`${group}\`: ${names.map((name) => `\`${name}\``).join(', ')}`,
  );
  const text = 'Keys of features that are still to come are accepted too, without effect:';
  return ['## Not used yet', '', text, '', ...rows].join('\n');
}

function typeText(option: Option): string {
  switch (option.type) {
    case 'int':
      return option.max === undefined ? `int >= ${option.min}` : `int ${option.min}-${option.max}`;
    case 'enum':
      return option.choices.join('|');
    case 'string[]':
      return 'list';
    default:
      return option.type;
  }
}

function plainDefault(option: Option): string {
  if (option.type !== 'bool') return String(option.default);
  return option.devDefault === undefined ? String(option.default) : `${option.default}, ${option.devDefault} in dev`;
}

function defaultText(option: Option): string {
  const text = plainDefault(option);
  return text === '' ? '' : `  (default ${text})`;
}

function markdownDefault(option: Option): string {
  const text = plainDefault(option);
  return text === '' ? '' : `\`${text}\``;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
