import { isUtf8 } from 'node:buffer';
import Long from 'long';
import { WireDecodeError } from './decode-error.ts';
import { Char, JsonReader, maxJsonDepth, quote } from './json-reader.ts';
import {
  isIntegerKind,
  namedFloats,
  parseBase64,
  parseDecimalFloat,
  parseDecimalInteger,
  parseJsonFloat,
  parseJsonInteger,
  parseTimestamp,
  type TimestampParts,
} from './json-scalars.ts';
import type { AnyMessage, FieldType, MessageType, ScalarKind } from './types.ts';

export interface JsonMode {
  /** `ignore` also passes over names that an enum does not have. */
  readonly unknownFields: 'ignore' | 'reject';
  /** What to do with text after the first JSON value. */
  readonly trailing: 'ignore' | 'reject';
}

/** Bodies of the REST API (spec: http-auth-accounts.md, section 1.8). */
export const restMode: JsonMode = { unknownFields: 'ignore', trailing: 'ignore' };

/** Frames of a JSON socket (spec: realtime.md, section 2.2). */
export const socketMode: JsonMode = { unknownFields: 'reject', trailing: 'reject' };

/**
 * Decodes a JSON text into `new type.cls()`, its fields under their proto names; 64-bit integers and the seconds of a
 * timestamp are Long objects, as protobuf decoding gives them. The text comes from `decodeUtf8`. An empty text is an
 * error: whether no body means an empty message is the caller's affair. Throws WireDecodeError
 * (spec: http-auth-accounts.md, section 1.8; realtime.md, section 2.2).
 */
export function decodeJson(type: MessageType, text: string, mode: JsonMode): AnyMessage {
  const reader = new JsonReader(text);
  const message = readMessage(reader, type, mode);
  checkEnd(reader, mode);
  return message;
}

/**
 * Decodes a JSON text that is the value of one field, for HTTP bindings whose body names a field. `null` is an error
 * there; null as result stands for an enum name that is ignored. Throws WireDecodeError.
 */
export function decodeJsonField(field: FieldType, text: string, mode: JsonMode): unknown {
  const reader = new JsonReader(text);
  const value = readField(reader, field, mode, undefined);
  checkEnd(reader, mode);
  return value;
}

/** The bytes as text. Throws WireDecodeError unless they are UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new WireDecodeError('proto: syntax error: invalid UTF-8');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/**
 * Sets what a query parameter or path variable names (spec: http-auth-accounts.md, section 1.9). `path` is a field in
 * either spelling, `a.b` for a field of a message field, or `m[k]` for an entry of a map; a path that leads nowhere is
 * ignored. `values` are all values the request has for it, percent-decoded: a list takes them all, everything else
 * exactly one. Throws WireDecodeError.
 */
export function setFromText(message: AnyMessage, type: MessageType, path: string, values: readonly string[]): void {
  const bracket = path.endsWith(']') ? path.lastIndexOf('[') : -1;
  const names = (bracket < 0 ? path : path.slice(0, bracket)).split('.');
  if (names.length > maxJsonDepth) throw new WireDecodeError(`invalid path: ${quote(path)} is too deep`);
  const last = names.pop() ?? '';

  let target = message;
  let targetType = type;
  for (const name of names) {
    const field = targetType.byName.get(name);
    if (!field) return;
    if (!field.message || field.repeated || field.mapKey !== undefined) {
      throw new WireDecodeError(`invalid path: ${quote(name)} is not a message`);
    }
    checkOneofFree(target, targetType, field);
    target[field.name] ??= new field.message.cls();
    target = target[field.name] as AnyMessage;
    targetType = field.message;
  }
  const field = targetType.byName.get(last);
  if (!field) return;
  checkOneofFree(target, targetType, field);
  setField(target, field, bracket < 0 ? values : [path.slice(bracket + 1, -1), ...values]);
}

function setField(target: AnyMessage, field: FieldType, values: readonly string[]): void {
  if (values.length === 0) return;
  if (field.repeated) {
    const list = target[field.name] as unknown[];
    for (const value of values) list.push(parseText(field, value));
    return;
  }
  if (field.mapKey !== undefined) {
    const [key = '', value] = values;
    if (values.length !== 2) throw new WireDecodeError(`map field "${field.name}" takes one value per key`);
    const map = target[field.name] as AnyMessage;
    setEntry(map, parseMapKey(field.mapKey, key) ?? failText(field), parseText(field, value ?? ''));
    return;
  }
  if (values.length > 1) {
    throw new WireDecodeError(`too many values for field "${field.name}": ${values.join(', ')}`);
  }
  target[field.name] = parseText(field, values[0] ?? '');
}

function checkOneofFree(target: AnyMessage, type: MessageType, field: FieldType): void {
  if (field.oneof === undefined) return;
  for (const other of type.fields) {
    if (other.oneof === field.oneof && other !== field && target[other.name] != null) {
      throw new WireDecodeError(`field already set for oneof "${field.oneof}"`);
    }
  }
}

/** One value of a field from plain text. */
function parseText(field: FieldType, text: string): unknown {
  if (!field.message) return parseScalarText(field, text);
  const value = new field.message.cls();
  const inner = field.message.fields[0];
  if (field.message.special === 'wrapper' && inner) value.value = parseScalarText(inner, text, field.name);
  else if (field.message.special === 'timestamp') assignTimestamp(value, parseTimestamp(text) ?? failText(field));
  else throw new WireDecodeError(`parsing field "${field.name}": a message cannot be given as text`);
  return value;
}

const boolTexts: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false] as const),
]);

function parseScalarText(field: FieldType, text: string, name = field.name): unknown {
  const { kind } = field;
  if (kind === 'string') return text;
  let value: unknown;
  if (kind === 'bool') value = boolTexts.get(text);
  else if (kind === 'bytes') value = parseBase64(text);
  else if (kind === 'float' || kind === 'double') value = parseDecimalFloat(kind, text);
  else if (isIntegerKind(kind)) value = parseDecimalInteger(kind, text);
  else value = field.enumValues?.get(text) ?? knownNumber(field, text);
  return value ?? failText(field, name);
}

function knownNumber(field: FieldType, text: string): unknown {
  const number = parseDecimalInteger('int32', text);
  for (const known of field.enumValues?.values() ?? []) if (known === number) return number;
  return undefined;
}

function failText(field: FieldType, name = field.name): never {
  throw new WireDecodeError(`parsing field "${name}": invalid ${field.message ? 'timestamp' : field.kind}`);
}

function checkEnd(reader: JsonReader, mode: JsonMode): void {
  if (mode.trailing === 'reject' && reader.peek() !== Char.END) throw reader.unexpected();
}

function readMessage(reader: JsonReader, type: MessageType, mode: JsonMode): AnyMessage {
  const message = new type.cls();
  // Never longer than the message has fields: duplicates end the reading.
  const seen: FieldType[] = [];
  reader.enter(Char.OPEN_OBJECT);
  for (let first = true; reader.more(first, Char.CLOSE_OBJECT); first = false) {
    reader.peek();
    const at = reader.pos;
    const name = reader.key();
    const field = type.byName.get(name);
    if (field === undefined) {
      if (mode.unknownFields === 'reject') throw reader.mismatch(`unknown field ${quote(name)}`, at);
      reader.skip();
      continue;
    }
    if (seen.includes(field)) throw reader.mismatch(`duplicate field ${quote(name)}`, at);
    seen.push(field);
    if (reader.takeNull()) continue;
    if (field.oneof !== undefined) checkOneof(reader, type, message, field, at);
    const map = field.mapKey === undefined ? undefined : (message[field.name] as AnyMessage);
    const value = readField(reader, field, mode, map);
    if (value !== null) message[field.name] = value;
  }
  return message;
}

function checkOneof(reader: JsonReader, type: MessageType, message: AnyMessage, field: FieldType, at: number): void {
  for (const name of Object.keys(message)) {
    if (type.byName.get(name)?.oneof === field.oneof) {
      throw reader.mismatch(`error parsing ${quote(field.name)}, oneof ${field.oneof} is already set`, at);
    }
  }
}

/** The value of a whole field: a list, the given map filled, or one value. Null: an enum name that is ignored. */
function readField(reader: JsonReader, field: FieldType, mode: JsonMode, map: AnyMessage | undefined): unknown {
  if (field.repeated) return readList(reader, field, mode);
  if (field.mapKey !== undefined) return readMap(reader, field, field.mapKey, mode, map ?? {});
  return readValue(reader, field, mode);
}

function readList(reader: JsonReader, field: FieldType, mode: JsonMode): unknown[] {
  const list: unknown[] = [];
  reader.enter(Char.OPEN_LIST);
  for (let first = true; reader.more(first, Char.CLOSE_LIST); first = false) {
    const value = readValue(reader, field, mode);
    if (value !== null) list.push(value);
  }
  return list;
}

function readMap(
  reader: JsonReader,
  field: FieldType,
  keyKind: ScalarKind,
  mode: JsonMode,
  map: AnyMessage,
): AnyMessage {
  reader.enter(Char.OPEN_OBJECT);
  for (let first = true; reader.more(first, Char.CLOSE_OBJECT); first = false) {
    reader.peek();
    const at = reader.pos;
    const name = reader.key();
    const key = parseMapKey(keyKind, name);
    if (key === undefined) throw reader.mismatch(`invalid ${keyKind} key in map ${quote(field.name)}`, at);
    if (Object.hasOwn(map, key)) throw reader.mismatch(`duplicate map key ${quote(name)}`, at);
    const value = readValue(reader, field, mode);
    if (value !== null) setEntry(map, key, value);
  }
  return map;
}

/** The key in the one form that objects use for it; undefined when the text is no key of that kind. */
function parseMapKey(kind: ScalarKind, text: string): string | undefined {
  if (kind === 'string') return text;
  if (kind === 'bool') return text === 'true' || text === 'false' ? text : undefined;
  return isIntegerKind(kind) ? parseJsonInteger(kind, text)?.toString() : undefined;
}

function setEntry(map: AnyMessage, key: string, value: unknown): void {
  // Assigning to this one name would replace the map's prototype.
  if (key !== '__proto__') map[key] = value;
  else Object.defineProperty(map, key, { value, writable: true, enumerable: true, configurable: true });
}

/** One value: of the field itself, or an element of it. Null: an enum name that is ignored. */
function readValue(reader: JsonReader, field: FieldType, mode: JsonMode): unknown {
  const type = field.message;
  if (type?.special === undefined) {
    return type ? readMessage(reader, type, mode) : readScalar(reader, field, mode, field.name);
  }
  const message = new type.cls();
  const inner = type.fields[0];
  if (type.special === 'wrapper' && inner) {
    message.value = readScalar(reader, inner, mode, field.name);
    return message;
  }
  const code = reader.peek();
  const at = reader.pos;
  const parts = code === Char.QUOTE ? parseTimestamp(reader.string()) : undefined;
  if (!parts) throw reader.mismatch(`invalid value for timestamp field ${quote(field.name)}`, at);
  return assignTimestamp(message, parts);
}

function assignTimestamp(message: AnyMessage, { seconds, nanos }: TimestampParts): AnyMessage {
  message.seconds = Long.fromNumber(seconds);
  message.nanos = nanos;
  return message;
}

function readScalar(reader: JsonReader, field: FieldType, mode: JsonMode, name: string): unknown {
  const code = reader.peek();
  const at = reader.pos;
  const value = scalarAt(reader, code, field, mode);
  // The value itself is not shown: it may be a password in the wrong type.
  if (value === undefined) throw reader.mismatch(`invalid value for ${field.kind} field ${quote(name)}`, at);
  return value;
}

/** Undefined: what comes is no value of the field's kind. Null: an enum name that is ignored. */
function scalarAt(reader: JsonReader, code: number, field: FieldType, mode: JsonMode): unknown {
  const { kind } = field;
  const quoted = code === Char.QUOTE;
  const numeric = code === Char.MINUS || (code >= Char.ZERO && code <= Char.NINE);
  switch (kind) {
    case 'string':
      return quoted ? reader.string() : undefined;
    case 'bool':
      return code === Char.T || code === Char.F ? reader.bool() : undefined;
    case 'bytes':
      if (field.embedded) return Buffer.from(reader.raw());
      return quoted ? parseBase64(reader.string()) : undefined;
    case 'enum':
      if (!quoted) return numeric ? parseJsonInteger('int32', reader.number()) : undefined;
      return field.enumValues?.get(reader.string()) ?? (mode.unknownFields === 'ignore' ? null : undefined);
    case 'message':
      return undefined;
    default: {
      if (!quoted && !numeric) return undefined;
      const text = quoted ? reader.string() : reader.number();
      if (kind !== 'float' && kind !== 'double') return parseJsonInteger(kind, text);
      return (quoted ? namedFloats.get(text) : undefined) ?? parseJsonFloat(kind, text);
    }
  }
}
