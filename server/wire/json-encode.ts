import Long from 'long';
import { formatTimestamp } from './json-scalars.ts';
import type { AnyMessage, FieldType, MessageType } from './types.ts';

type WriteValue = (value: unknown) => string;

interface FieldPlan {
  readonly name: string;
  readonly firstKey: string;
  readonly nextKey: string;
  /** The JSON text, empty when the value is the field's default and therefore left out. */
  readonly write: WriteValue;
}

interface MessagePlan {
  readonly fields: FieldPlan[];
}

// Filled on first use, the same for every caller.
const plans = new Map<MessageType, MessagePlan>();

/**
 * The message as JSON text: proto names in declaration order, defaults left out, 64-bit integers as decimal strings
 * (spec: http-auth-accounts.md, section 1.8 "Emit"; realtime.md, section 2.1). Takes whatever protobufjs' `encode`
 * takes: properties may be missing or null, 64-bit integers may be Long, number or decimal string. A member of a
 * oneof is written whenever it is set. Throws RangeError for a timestamp outside the years 1 to 9999.
 */
export function encodeJson(type: MessageType, message: AnyMessage): string {
  return writeMessage(planOf(type), message);
}

/** A text as JSON string. */
export function encodeJsonString(text: string): string {
  // Short strings without anything to escape are most of what we send; the loop spares the call into the runtime.
  if (text.length > shortString) return JSON.stringify(text);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x22 || code === 0x5c || code >= 0xd800) return JSON.stringify(text);
  }
  return `"${text}"`;
}

const shortString = 48;

function planOf(type: MessageType): MessagePlan {
  const known = plans.get(type);
  if (known) return known;
  const plan: MessagePlan = { fields: [] };
  // Before its fields: messages may contain themselves.
  plans.set(type, plan);
  for (const field of type.fields) plan.fields.push(planField(field));
  return plan;
}

function planField(field: FieldType): FieldPlan {
  const key = `${JSON.stringify(field.name)}:`;
  return { name: field.name, firstKey: `{${key}`, nextKey: `,${key}`, write: fieldWriter(field) };
}

function fieldWriter(field: FieldType): WriteValue {
  const write = valueWriter(field);
  if (field.repeated) return (value) => writeList(write, value as readonly unknown[]);
  if (field.mapKey !== undefined) return (value) => writeMap(write, value as AnyMessage);
  if (field.message || field.oneof !== undefined) return write;
  switch (field.kind) {
    case 'string':
      return (value) => (value === '' ? '' : encodeJsonString(value as string));
    case 'bool':
      return (value) => (value === true ? 'true' : '');
    case 'bytes':
      return (value) => ((value as Uint8Array).length === 0 ? '' : write(value));
    case 'int64':
    case 'uint64':
      return (value) => {
        const text = write(value);
        return text === '"0"' ? '' : text;
      };
    default:
      // Unlike ===, this tells -0.0, which is not the default.
      return (value) => (Object.is(value, 0) ? '' : write(value));
  }
}

/** Writes one value, default or not. */
function valueWriter(field: FieldType): WriteValue {
  switch (field.kind) {
    case 'message':
      return messageWriter(field.message as MessageType);
    case 'string':
      return encodeJsonString as WriteValue;
    case 'bool':
      return (value) => (value === true ? 'true' : 'false');
    case 'bytes':
      return field.embedded ? writeEmbedded : writeBytes;
    case 'int64':
      return (value) => `"${formatLong(value as Long | number | string, false)}"`;
    case 'uint64':
      return (value) => `"${formatLong(value as Long | number | string, true)}"`;
    case 'float':
    case 'double':
      return writeFloat;
    default:
      return String;
  }
}

function messageWriter(type: MessageType): WriteValue {
  const inner = type.fields[0];
  if (type.special === 'wrapper' && inner) {
    const write = valueWriter(inner);
    return (wrapper) => write((wrapper as AnyMessage).value ?? type.cls.prototype.value);
  }
  if (type.special === 'timestamp') return writeTimestamp;
  const plan = planOf(type);
  return (message) => writeMessage(plan, message as AnyMessage);
}

function writeMessage(plan: MessagePlan, message: AnyMessage): string {
  let out = '';
  for (const field of plan.fields) {
    const value = message[field.name];
    if (value === undefined || value === null) continue;
    const text = field.write(value);
    if (text !== '') out += (out === '' ? field.firstKey : field.nextKey) + text;
  }
  return out === '' ? '{}' : `${out}}`;
}

function writeList(write: WriteValue, list: readonly unknown[]): string {
  let out = '';
  for (const value of list) out += (out === '' ? '[' : ',') + write(value);
  return out === '' ? '' : `${out}]`;
}

function writeMap(write: WriteValue, map: AnyMessage): string {
  let out = '';
  for (const key of Object.keys(map)) out += `${(out === '' ? '{' : ',') + encodeJsonString(key)}:${write(map[key])}`;
  return out === '' ? '' : `${out}}`;
}

function writeTimestamp(value: unknown): string {
  const { seconds, nanos } = value as { seconds?: Long | number | string | null; nanos?: number | null };
  return `"${formatTimestamp({ seconds: toNumber(seconds ?? 0), nanos: nanos ?? 0 })}"`;
}

function toNumber(value: Long | number | string): number {
  return typeof value === 'object' ? value.toNumber() : Number(value);
}

function writeBytes(value: unknown): string {
  return `"${asBuffer(value as Uint8Array).toString('base64')}"`;
}

// Holds JSON text already; protobuf's default, no bytes at all, only comes here as member of a oneof or a list.
function writeEmbedded(value: unknown): string {
  return asBuffer(value as Uint8Array).toString('utf8') || 'null';
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function writeFloat(value: unknown): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? '-0' : String(value);
}

function formatLong(value: Long | number | string, unsigned: boolean): string {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) ? String(value) : Long.fromNumber(value, unsigned).toString();
  }
  if (typeof value === 'string') return value === '' ? '0' : Long.fromString(value, unsigned).toString();
  const high = unsigned ? value.high >>> 0 : value.high;
  const number = high * 2 ** 32 + (value.low >>> 0);
  if (Number.isSafeInteger(number)) return String(number);
  return Long.fromBits(value.low, value.high, unsigned).toString();
}
