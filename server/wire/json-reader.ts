import { WireDecodeError } from './decode-error.ts';

/** How deep objects and lists may nest. protobufjs has the same limit for messages. */
export const maxJsonDepth = 100;

const shownNameLength = 64;
/** How much of a string is looked at one by one, before the methods for long strings pay. */
const scannedLength = 32;

/** Character codes that callers meet: what `peek` returns. */
export const Char = {
  END: -1,
  QUOTE: 0x22,
  COMMA: 0x2c,
  MINUS: 0x2d,
  DOT: 0x2e,
  ZERO: 0x30,
  NINE: 0x39,
  COLON: 0x3a,
  OPEN_LIST: 0x5b,
  BACKSLASH: 0x5c,
  CLOSE_LIST: 0x5d,
  F: 0x66,
  N: 0x6e,
  T: 0x74,
  OPEN_OBJECT: 0x7b,
  CLOSE_OBJECT: 0x7d,
} as const;

/**
 * A strict pull parser over JSON text (RFC 8259): no comments, no trailing commas, no lone surrogate escapes.
 * Unlike JSON.parse it shows duplicate members, keeps numbers as text, and stops after the first value.
 * The text must be well-formed Unicode, as `decodeUtf8` gives it. Every method throws WireDecodeError on a syntax
 * error. Time is linear in the text whatever it holds.
 */
export class JsonReader {
  readonly text: string;
  pos = 0;
  #depth = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Skips white space; gives the code of the next character without taking it, or `Char.END`. */
  peek(): number {
    const { text } = this;
    while (this.pos < text.length) {
      const code = text.charCodeAt(this.pos);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.pos++;
    }
    return Char.END;
  }

  /** Takes the bracket that starts an object or a list. */
  enter(bracket: typeof Char.OPEN_OBJECT | typeof Char.OPEN_LIST): void {
    if (this.peek() !== bracket) throw this.unexpected();
    if (++this.#depth > maxJsonDepth) throw this.error('exceeded maximum nesting depth');
    this.pos++;
  }

  /** Moves to the next member or element. False: there was none, and the closing bracket is taken. */
  more(first: boolean, close: typeof Char.CLOSE_OBJECT | typeof Char.CLOSE_LIST): boolean {
    const code = this.peek();
    if (code === close) {
      this.pos++;
      this.#depth--;
      return false;
    }
    if (!first) {
      if (code !== Char.COMMA) throw this.unexpected();
      this.pos++;
    }
    return true;
  }

  /** Takes a member's name and the colon. */
  key(): string {
    const name = this.string();
    if (this.peek() !== Char.COLON) throw this.unexpected();
    this.pos++;
    return name;
  }

  string(): string {
    if (this.peek() !== Char.QUOTE) throw this.unexpected();
    const { text } = this;
    const start = this.pos + 1;
    const end = Math.min(text.length, start + scannedLength);
    for (let at = start; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code === Char.QUOTE) {
        this.pos = at + 1;
        return text.slice(start, at);
      }
      if (code === Char.BACKSLASH) break;
      if (code < 0x20) throw this.error('invalid character in string', at);
    }
    return this.#longString(start);
  }

  /** Takes a number, as text that `scanNumber` accepted. */
  number(): string {
    this.peek();
    const end = scanNumber(this.text, this.pos);
    if (end < 0) throw this.unexpected();
    const token = this.text.slice(this.pos, end);
    this.#finish(end);
    return token;
  }

  bool(): boolean {
    const word = this.peek() === Char.T ? 'true' : 'false';
    this.#literal(word);
    return word === 'true';
  }

  /** Takes a `null` if one comes; false and nothing taken otherwise. */
  takeNull(): boolean {
    if (this.peek() !== Char.N) return false;
    this.#literal('null');
    return true;
  }

  /** Takes a value of any kind and gives its text: checked syntax, not interpreted. */
  raw(): string {
    this.peek();
    const start = this.pos;
    this.skip();
    return this.text.slice(start, this.pos);
  }

  /** Takes a value of any kind. */
  skip(): void {
    switch (this.peek()) {
      case Char.OPEN_OBJECT:
        this.enter(Char.OPEN_OBJECT);
        for (let first = true; this.more(first, Char.CLOSE_OBJECT); first = false) {
          this.key();
          this.skip();
        }
        return;
      case Char.OPEN_LIST:
        this.enter(Char.OPEN_LIST);
        for (let first = true; this.more(first, Char.CLOSE_LIST); first = false) this.skip();
        return;
      case Char.QUOTE:
        this.string();
        return;
      case Char.T:
      case Char.F:
        this.bool();
        return;
      case Char.N:
        this.takeNull();
        return;
      default:
        this.number();
    }
  }

  /** An error about the syntax at a position. */
  error(what: string, at = this.pos): WireDecodeError {
    return new WireDecodeError(`proto: syntax error ${this.#place(at)}: ${what}`);
  }

  /** An error about a value that is proper JSON but does not fit. */
  mismatch(what: string, at = this.pos): WireDecodeError {
    return new WireDecodeError(`proto: ${this.#place(at)}: ${what}`);
  }

  /** The error for a token that may not come here. */
  unexpected(): WireDecodeError {
    this.peek();
    const char = this.text.codePointAt(this.pos);
    return this.error(char === undefined ? 'unexpected end' : `unexpected token ${quote(String.fromCodePoint(char))}`);
  }

  // Longer than a few dozen characters, or with escapes: indexOf finds the end and JSON.parse of the one token
  // unescapes and checks, both at native speed (200 characters: 120 ns, where a loop takes 400).
  #longString(start: number): string {
    const { text } = this;
    let end = text.indexOf('"', start);
    while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
    if (end < 0) throw this.error('unexpected end', text.length);
    const token = text.slice(this.pos, end + 1);
    let value: string;
    try {
      value = JSON.parse(token);
    } catch {
      throw this.error('invalid string');
    }
    if (token.includes('\\u') && loneSurrogate.test(value)) throw this.error('invalid string: lone surrogate');
    this.pos = end + 1;
    return value;
  }

  #literal(word: string): void {
    if (!this.text.startsWith(word, this.pos)) throw this.unexpected();
    this.#finish(this.pos + word.length);
  }

  // `12x` and `truefalse` are no values, even where what follows the value is not read.
  #finish(end: number): void {
    if (isWordCharacter(this.text.charCodeAt(end))) throw this.error('invalid value');
    this.pos = end;
  }

  #place(at: number): string {
    let line = 1;
    let lineStart = 0;
    for (let end = this.text.indexOf('\n'); end >= 0 && end < at; end = this.text.indexOf('\n', end + 1)) {
      line++;
      lineStart = end + 1;
    }
    return `(line ${line}:${at - lineStart + 1})`;
  }
}

const loneSurrogate = /\p{Surrogate}/u;

// NaN, the code at the end of the text, fails every comparison.
function isWordCharacter(code: number): boolean {
  if (code < Char.ZERO) return code === 0x2b || code === Char.MINUS || code === Char.DOT;
  return code <= Char.NINE || (code >= 0x41 && code <= 0x5a) || code === 0x5f || (code >= 0x61 && code <= 0x7a);
}

/** Whether an odd number of backslashes precedes the quote. */
function isEscaped(text: string, quoteAt: number): boolean {
  let at = quoteAt;
  while (text.charCodeAt(at - 1) === Char.BACKSLASH) at--;
  return (quoteAt - at) % 2 === 1;
}

/** A name from outside, for an error message: quoted, and cut when it is long. */
export function quote(name: string): string {
  return JSON.stringify(name.length > shownNameLength ? `${name.slice(0, shownNameLength)}...` : name);
}

/** The end of the JSON number that starts at `start`, or -1 when there is none. */
export function scanNumber(text: string, start: number): number {
  const intStart = text.charCodeAt(start) === Char.MINUS ? start + 1 : start;
  let end = text.charCodeAt(intStart) === Char.ZERO ? intStart + 1 : skipDigits(text, intStart);
  if (end === intStart) return -1;
  if (text.charCodeAt(end) === Char.DOT) {
    const fraction = end + 1;
    end = skipDigits(text, fraction);
    if (end === fraction) return -1;
  }
  if ((text.charCodeAt(end) | 0x20) === 0x65) {
    const sign = text.charCodeAt(end + 1);
    const exponent = sign === 0x2b || sign === Char.MINUS ? end + 2 : end + 1;
    end = skipDigits(text, exponent);
    if (end === exponent) return -1;
  }
  return end;
}

function skipDigits(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code < Char.ZERO || code > Char.NINE) break;
    at++;
  }
  return at;
}
