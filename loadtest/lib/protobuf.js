// As much protobuf as the load tests need. k6 loads no npm packages, so this stands by itself; envelope.test.js checks
// it against the server's generated code.
//
// Bytes are handled as a string with one character each: k6 takes microseconds to read a byte out of an array, but cuts
// and joins strings natively.

/** @typedef {{ wire: number, initial?: unknown, isList?: boolean, write(value: any): string, read(bytes: string): any }} Type */

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

/** @type {Type} */
export const string = { wire: lengthDelimited, initial: '', write: toUtf8, read: fromUtf8 };

/** An int32 or enum that is never negative. @type {Type} */
export const uint = { wire: varint, initial: 0, write: toVarint, read: (bytes) => new Reader(bytes).varint() };

/** @type {Type} */
export const bool = {
  wire: varint,
  initial: false,
  write: (value) => toVarint(value ? 1 : 0),
  read: (bytes) => new Reader(bytes).varint() !== 0,
};

/** Any number of messages. @param {Type} item @returns {Type} */
export const list = (item) => ({ ...item, isList: true });

/**
 * A message of these fields, each given as [number, type]. Reading fills absent scalars with their defaults, leaves
 * absent messages and lists undefined, and skips fields that are not listed.
 * @param {Record<string, [number, Type]>} fields
 */
export function message(fields) {
  const defaults = {};
  const byNumber = new Map();
  for (const [name, [number, type]] of Object.entries(fields)) {
    byNumber.set(number, { name, type });
    if (type.initial !== undefined) defaults[name] = type.initial;
  }
  return {
    fields,
    wire: lengthDelimited,
    write(value) {
      let bytes = '';
      for (const name of Object.keys(value)) {
        if (!(name in fields)) throw new Error(`unknown field ${name}`);
        const [number, type] = fields[name];
        for (const item of type.isList ? value[name] : [value[name]]) {
          const content = type.write(item);
          bytes += toVarint(number * 8 + type.wire);
          if (type.wire === lengthDelimited) bytes += toVarint(content.length);
          bytes += content;
        }
      }
      return bytes;
    },
    read(bytes) {
      const value = { ...defaults };
      const reader = new Reader(bytes);
      while (!reader.done) {
        const tag = reader.varint();
        const content = reader.content(tag % 8);
        const field = byNumber.get(Math.floor(tag / 8));
        if (field === undefined) continue;
        if (field.type.wire !== tag % 8) throw new Error(`field ${field.name} has wire type ${tag % 8}`);
        const item = field.type.read(content);
        value[field.name] = field.type.isList ? [...(value[field.name] ?? []), item] : item;
      }
      return value;
    },
  };
}

/** @param {string} bytes one character each @returns {ArrayBuffer} */
export function toBuffer(bytes) {
  const array = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) array[at] = bytes.charCodeAt(at);
  return array.buffer;
}

/** @param {ArrayBuffer} buffer @returns {string} one character each */
export function fromBuffer(buffer) {
  return String.fromCharCode.apply(null, new Uint8Array(buffer));
}

class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get done() {
    return this.#at >= this.#bytes.length;
  }

  varint() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes.charCodeAt(this.#at++);
      if (Number.isNaN(byte)) throw new Error('the message is cut off');
      if (byte < 128) return value + byte * scale;
      value += (byte - 128) * scale;
    }
  }

  /** The bytes of a field's value, without a length. */
  content(wire) {
    if (wire === lengthDelimited) return this.#take(this.varint());
    if (wire === fixed64) return this.#take(8);
    if (wire === fixed32) return this.#take(4);
    if (wire !== varint) throw new Error(`unknown wire type ${wire}`);
    const start = this.#at;
    this.varint();
    return this.#bytes.slice(start, this.#at);
  }

  #take(length) {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Error('the message is cut off');
    return this.#bytes.slice(start, this.#at);
  }
}

function toVarint(value) {
  let bytes = '';
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes += String.fromCharCode((rest % 128) + 128);
  return bytes + String.fromCharCode(rest);
}

// k6 has no TextEncoder and no TextDecoder.
function toUtf8(text) {
  if (isAscii(text)) return text;
  return encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function fromUtf8(bytes) {
  if (isAscii(bytes)) return bytes;
  return decodeURIComponent(bytes.replace(/./gs, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`));
}

function isAscii(text) {
  return /^[\0-\x7f]*$/.test(text);
}
