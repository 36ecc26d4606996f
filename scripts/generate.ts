// Generates server/wire/generated/ from proto/. `--check` fails when the committed files are stale.
//
//   messages.js       static protobuf classes (protobufjs)
//   messages.d.ts     their types, and the method tables that type the registry
//   descriptors.js    the descriptor tree: fields, options, HTTP bindings
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outDir = join(root, 'server/wire/generated');
const require = createRequire(import.meta.url);
const pbjs = join(dirname(require.resolve('protobufjs-cli/package.json')), 'bin/pbjs');
const protobufDir = dirname(require.resolve('protobufjs/package.json'));
const protoFiles = ['api.proto', 'realtime.proto', 'cluster.proto', 'testing.proto'].map((file) =>
  join(root, 'proto', file),
);

interface FieldJson {
  type: string;
  id: number;
  rule?: 'repeated';
  keyType?: string;
}
interface NodeJson {
  nested?: Record<string, NodeJson>;
  fields?: Record<string, FieldJson>;
  oneofs?: Record<string, { oneof: string[] }>;
  values?: Record<string, number>;
  methods?: Record<string, { requestType: string; responseType: string }>;
  options?: Record<string, unknown>;
}

function runPbjs(...args: string[]): string {
  return execFileSync(
    process.execPath,
    [pbjs, '--keep-case', '-p', join(root, 'proto'), '-p', protobufDir, ...args, ...protoFiles],
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
}

const scalarTypes: Record<string, string> = {
  string: 'string',
  bool: 'boolean',
  bytes: 'Uint8Array',
  int32: 'number',
  uint32: 'number',
  float: 'number',
  double: 'number',
  int64: 'Long',
  uint64: 'Long',
};

/** Emits namespaces, interfaces and enums for one node of the descriptor tree. */
function emitTypes(name: string, node: NodeJson, path: string[], out: string[], indent: string): void {
  const inner = `${indent}  `;
  const here = [...path, name];
  if (node.values) {
    out.push(`${indent}const ${name}: ${enumType(node.values)};`);
    return;
  }
  if (node.fields) {
    out.push(`${indent}const ${name}: ${messageValueType(here, node)};`);
    emitMessageType(name, node, here, out, indent);
    return;
  }
  const nested = Object.entries(node.nested ?? {}).filter(([, child]) => !child.methods);
  if (nested.length === 0) return;
  out.push(`${indent}${path.length === 0 ? 'export ' : ''}namespace ${name} {`);
  for (const [childName, child] of nested) emitTypes(childName, child, here, out, inner);
  out.push(`${indent}}`);
}

/** The interface of a message, and a namespace with those of the messages inside it. */
function emitMessageType(name: string, node: NodeJson, here: string[], out: string[], indent: string): void {
  const inner = `${indent}  `;
  const fields = Object.entries(node.fields ?? {});
  out.push(`${indent}interface ${name} {${fields.length === 0 ? '}' : ''}`);
  for (const [field, json] of fields) out.push(`${inner}${field}: ${fieldType(json, here)};`);
  if (fields.length > 0) out.push(`${indent}}`);
  const messages = Object.entries(node.nested ?? {}).filter(([, child]) => child.fields);
  if (messages.length === 0) return;
  out.push(`${indent}namespace ${name} {`);
  for (const [child, json] of messages) emitMessageType(child, json, [...here, child], out, inner);
  out.push(`${indent}}`);
}

/** The type of a message's class, with the enums and messages inside it as members. */
function messageValueType(path: string[], node: NodeJson): string {
  const members = Object.entries(node.nested ?? {}).map(
    ([name, child]) =>
      `readonly ${name}: ${child.values ? enumType(child.values) : messageValueType([...path, name], child)}`,
  );
  const own = `MessageClass<${path.join('.')}>`;
  return members.length === 0 ? own : `${own} & { ${members.join('; ')} }`;
}

function enumType(values: Record<string, number>): string {
  return `{ ${Object.entries(values)
    .map(([key, value]) => `readonly ${key}: ${value}`)
    .join('; ')} }`;
}

function fieldType(field: FieldJson, scope: string[]): string {
  const scalar = scalarTypes[field.type];
  if (field.keyType) return `{ [key: string]: ${scalar ?? resolve(field.type, scope).ref} }`;
  if (scalar) return field.rule === 'repeated' ? `${scalar}[]` : scalar;
  const { ref, isEnum } = resolve(field.type, scope);
  if (field.rule === 'repeated') return `${isEnum ? 'number' : ref}[]`;
  return isEnum ? 'number' : `${ref} | null`;
}

let tree: NodeJson = {};

/** Finds a type by protobuf's scoping rule: innermost scope first. */
function resolve(type: string, scope: string[]): { ref: string; isEnum: boolean } {
  for (let depth = scope.length; depth >= 0; depth--) {
    const path = [...scope.slice(0, depth), ...type.replace(/^\./, '').split('.')];
    let node: NodeJson | undefined = tree;
    for (const part of path) node = node?.nested?.[part];
    if (node && (node.fields || node.values)) return { ref: path.join('.'), isEnum: node.values !== undefined };
  }
  throw new Error(`generate: unknown type ${type} in ${scope.join('.')}`);
}

function emitMethodTables(out: string[]): void {
  const rows: string[] = [];
  const visit = (node: NodeJson, path: string[]): void => {
    for (const [name, child] of Object.entries(node.nested ?? {})) {
      for (const [method, json] of Object.entries(child.methods ?? {})) {
        const request = resolve(json.requestType, path).ref;
        const response = resolve(json.responseType, path).ref;
        rows.push(`  ${method}: { request: ${request}; response: ${response} };`);
      }
      visit(child, [...path, name]);
    }
  };
  visit(tree, []);
  out.push('/** Every API method by name, with its request and response. */');
  out.push(`export interface ApiMethods {\n${rows.join('\n')}\n}`);

  const scope = ['nakama', 'realtime', 'Envelope'];
  const envelope = tree.nested?.nakama?.nested?.realtime?.nested?.Envelope;
  const payloads = envelope?.oneofs?.message?.oneof.map((name) => {
    const field = envelope.fields?.[name];
    if (!field) throw new Error(`generate: Envelope.${name} is not a field`);
    return `  ${name}: ${resolve(field.type, scope).ref};`;
  });
  out.push('/** Every payload an Envelope can carry, by field name. */');
  out.push(`export interface EnvelopePayloads {\n${payloads?.join('\n')}\n}`);
}

function generate(): Map<string, string> {
  const header = '// Generated by scripts/generate.ts from proto/. Do not edit.\n';
  const messages = runPbjs(
    ...['-t', 'static-module', '-w', 'es6', '--force-long', '-r', 'muster', '--dependency', 'protobufjs/minimal.js'],
    ...[
      '--no-comments',
      '--no-verify',
      '--no-convert',
      '--no-delimited',
      '--no-typeurl',
      '--no-service',
      '--no-create',
    ],
  ).replace('import * as $protobuf from', 'import $protobuf from');
  tree = JSON.parse(runPbjs('-t', 'json')) as NodeJson;
  // Only the well-known types we use; the rest of descriptor.proto is the compiler's business.
  const wellKnown = tree.nested?.google?.nested?.protobuf;
  for (const name of Object.keys(wellKnown?.nested ?? {})) {
    if (!/^(Empty|Timestamp|\w+Value)$/.test(name)) delete wellKnown?.nested?.[name];
  }
  delete tree.nested?.google?.nested?.api;

  const types: string[] = [
    header.trimEnd(),
    "import type Long from 'long';",
    "import type { Reader, Writer } from 'protobufjs/minimal.js';",
    '',
    '/** What may be given to `encode`: any subset of the fields, int64 also as number or decimal string. */',
    'export type Init<T> = T extends Long',
    '  ? Long | number | string',
    '  : T extends Uint8Array',
    '    ? Uint8Array',
    '    : T extends (infer U)[]',
    '      ? Init<U>[]',
    '      : T extends object',
    '        ? { [K in keyof T]?: Init<T[K]> | null }',
    '        : T;',
    '',
    'export interface MessageClass<T> {',
    '  new (properties?: Init<T>): T;',
    '  encode(message: Init<T>, writer?: Writer): Writer;',
    '  decode(reader: Reader | Uint8Array, length?: number): T;',
    '}',
    '',
  ];
  for (const [name, node] of Object.entries(tree.nested ?? {})) emitTypes(name, node, [], types, '');
  types.push('');
  emitMethodTables(types);

  return new Map([
    ['messages.js', header + messages],
    ['messages.d.ts', `${types.join('\n')}\n`],
    ['descriptors.js', `${header}export default ${JSON.stringify(tree, null, 1)};\n`],
    [
      'descriptors.d.ts',
      `${header}import type { DescriptorNode } from '../descriptor-tree.ts';\n\ndeclare const tree: DescriptorNode;\nexport default tree;\n`,
    ],
  ]);
}

const check = process.argv.includes('--check');
mkdirSync(outDir, { recursive: true });
const stale: string[] = [];
for (const [name, content] of generate()) {
  const path = join(outDir, name);
  if (!check) writeFileSync(path, content);
  else if (readFileSync(path, 'utf8') !== content) stale.push(name);
}
if (stale.length > 0) {
  console.error(`stale generated files: ${stale.join(', ')}; run "npm run generate"`);
  process.exit(1);
}
