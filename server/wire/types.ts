import type { DescriptorNode, FieldNode, HttpRule } from './descriptor-tree.ts';
import tree from './generated/descriptors.js';
import type { MessageClass } from './generated/messages.js';
import * as messages from './generated/messages.js';

/** A decoded message without its static type, as codecs handle it. */
export type AnyMessage = Record<string, unknown>;

export type ScalarKind = 'string' | 'bool' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'float' | 'double' | 'bytes';

export interface FieldType {
  /** Name in proto, in JSON output and on the message object. */
  readonly name: string;
  /** The lowerCamelCase spelling that JSON input may use as well. */
  readonly camelName: string;
  readonly id: number;
  /** For a map: the kind of its values. */
  readonly kind: ScalarKind | 'enum' | 'message';
  readonly repeated: boolean;
  /** Set for maps (never together with `repeated`): the kind of the keys. */
  readonly mapKey: ScalarKind | undefined;
  /** Set when `kind` is `message`. */
  readonly message: MessageType | undefined;
  /** Set when `kind` is `enum`: number by name. */
  readonly enumValues: ReadonlyMap<string, number> | undefined;
  /** Name of the oneof that the field belongs to. */
  readonly oneof: string | undefined;
  /** A bytes field that holds another message in the socket's own format (see proto/options.proto). */
  readonly embedded: boolean;
}

export interface MessageType {
  readonly fullName: string;
  /** The static protobufjs class: `new type.cls()` gives a message with all defaults. */
  readonly cls: MessageClass<AnyMessage>;
  /** In declaration order. */
  readonly fields: readonly FieldType[];
  /** By either spelling. */
  readonly byName: ReadonlyMap<string, FieldType>;
  /** JSON treats these messages specially: a wrapper is its bare value, a timestamp is an RFC 3339 string. */
  readonly special: 'wrapper' | 'timestamp' | undefined;
}

export interface HttpBinding {
  readonly verb: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** e.g. `/v2/storage/{collection}`; a variable matches one segment. */
  readonly path: string;
  /** `*`: the body is the request; a field name: the body is that field; undefined: no body is read. */
  readonly body: string | undefined;
}

export interface MethodType {
  /** e.g. `GetAccount`. */
  readonly name: string;
  readonly request: MessageType;
  readonly response: MessageType;
  readonly http: readonly HttpBinding[];
}

type Scope = readonly string[];

const messageTypes = new Map<string, MessageType>();
const methodTypes: MethodType[] = [];
buildAll(tree, []);

/** The message type of that full name, e.g. `nakama.api.Account`. Throws for an unknown name: a programming error. */
export function messageType(fullName: string): MessageType {
  const type = messageTypes.get(fullName);
  if (!type) throw new Error(`unknown message type ${fullName}`);
  return type;
}

/** Every method of every service in proto/, in declaration order. */
export function allMethodTypes(): readonly MethodType[] {
  return methodTypes;
}

function buildAll(node: DescriptorNode, scope: Scope): void {
  for (const [name, child] of Object.entries(node.nested ?? {})) {
    if (child.fields) buildMessage([...scope, name]);
    if (child.methods) buildService(child, scope);
    buildAll(child, [...scope, name]);
  }
}

function buildService(service: DescriptorNode, scope: Scope): void {
  for (const [name, method] of Object.entries(service.methods ?? {})) {
    const rule = method.parsedOptions?.[0]?.['(google.api.http)'];
    const extra = rule?.additional_bindings ?? [];
    const rules = rule ? [rule, ...(Array.isArray(extra) ? extra : [extra])] : [];
    methodTypes.push({
      name,
      request: buildMessage(resolve(method.requestType, scope).path),
      response: buildMessage(resolve(method.responseType, scope).path),
      http: rules.map(toBinding),
    });
  }
}

function toBinding(rule: HttpRule): HttpBinding {
  for (const verb of ['GET', 'POST', 'PUT', 'DELETE'] as const) {
    const path = rule[verb.toLowerCase() as 'get' | 'post' | 'put' | 'delete'];
    if (path !== undefined) return { verb, path, body: rule.body };
  }
  throw new Error(`HTTP rule without a verb: ${JSON.stringify(rule)}`);
}

function buildMessage(path: Scope): MessageType {
  const fullName = path.join('.');
  const known = messageTypes.get(fullName);
  if (known) return known;

  const node = nodeAt(path);
  let cls: unknown = messages;
  for (const part of path) cls = (cls as Record<string, unknown>)[part];

  const fields: FieldType[] = [];
  const byName = new Map<string, FieldType>();
  const isWrapper = path[0] === 'google' && /Value$/.test(fullName);
  const type: MessageType = {
    fullName,
    cls: cls as MessageClass<AnyMessage>,
    fields,
    byName,
    special: isWrapper ? 'wrapper' : fullName === 'google.protobuf.Timestamp' ? 'timestamp' : undefined,
  };
  messageTypes.set(fullName, type);

  const oneofOf = new Map<string, string>();
  for (const [oneof, { oneof: members }] of Object.entries(node?.oneofs ?? {})) {
    for (const member of members) oneofOf.set(member, oneof);
  }
  for (const [name, json] of Object.entries(node?.fields ?? {})) {
    const field = buildField(name, json, path, oneofOf.get(name));
    fields.push(field);
    byName.set(field.name, field).set(field.camelName, field);
  }
  return type;
}

function buildField(name: string, json: FieldNode, scope: Scope, oneof: string | undefined): FieldType {
  const base = {
    name,
    camelName: name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
    id: json.id,
    repeated: json.rule === 'repeated',
    mapKey: json.keyType as ScalarKind | undefined,
    message: undefined,
    enumValues: undefined,
    oneof,
    embedded: json.options?.['(muster.embedded)'] === true,
  };
  if (/^(string|bool|u?int(32|64)|float|double|bytes)$/.test(json.type)) {
    return { ...base, kind: json.type as ScalarKind };
  }
  const { path, node } = resolve(json.type, scope);
  if (node.values) return { ...base, kind: 'enum', enumValues: new Map(Object.entries(node.values)) };
  return { ...base, kind: 'message', message: buildMessage(path) };
}

function nodeAt(path: Scope): DescriptorNode | undefined {
  let node: DescriptorNode | undefined = tree;
  for (const part of path) node = node?.nested?.[part];
  return node;
}

/** Finds a type by protobuf's scoping rule: innermost scope first. */
function resolve(type: string, scope: Scope): { path: Scope; node: DescriptorNode } {
  for (let depth = scope.length; depth >= 0; depth--) {
    const path = [...scope.slice(0, depth), ...type.replace(/^\./, '').split('.')];
    const node = nodeAt(path);
    if (node && (node.fields || node.values)) return { path, node };
  }
  throw new Error(`unknown type ${type} in ${scope.join('.')}`);
}
