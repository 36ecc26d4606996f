import { type DateValue, parseRfc3339 } from './fields.ts';
import { Pattern, wildcardNode } from './pattern.ts';
import { QueryError } from './query-error.ts';
import { parseRegex } from './regex.ts';

export type Comparison = '>' | '>=' | '<' | '<=';

/** What a field is compared with. */
export type Term =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'fuzzy'; readonly text: string; readonly distance: number }
  /** `isAnything` when every value of whatever type matches. */
  | { readonly kind: 'pattern'; readonly pattern: Pattern; readonly isAnything: boolean }
  /** The text counts for keywords. */
  | { readonly kind: 'number'; readonly number: number; readonly text: string }
  | { readonly kind: 'range'; readonly comparison: Comparison; readonly bound: number | DateValue };

export interface Clause {
  readonly occur: 'must' | 'should' | 'mustNot';
  /** '' for the default field, which no document has. */
  readonly field: string;
  readonly term: Term;
  readonly boost: number;
}

/** The longest query, in UTF-16 units. */
export const maxQueryLength = 32_768;
const maxEditDistance = 2;

const blank = /[ \t\r\n]/;
const escapable = /[-+=&|><!(){}[\]^"~*?:\\/ ]/;
const numberPattern = /^(?=.*\d)\d*\.?\d*$/;

/** A word as it was written: each character, and whether a backslash made it plain. */
interface Word {
  readonly characters: readonly string[];
  readonly isEscaped: readonly boolean[];
  readonly text: string;
}

/**
 * The clauses of a query (spec: storage-wallet-purchases.md, section 2.4, and matches-matchmaker-parties.md, section
 * 4.3), none for those that match everything: `*` and the empty text. Throws QueryError.
 */
export function parseClauses(text: string): Clause[] {
  if (text === '' || text === '*') return [];
  if (text.length > maxQueryLength) throw new QueryError(`query longer than ${maxQueryLength} characters`);
  return new QueryReader(text).clauses();
}

class QueryReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  clauses(): Clause[] {
    const clauses: Clause[] = [];
    this.#skipBlanks();
    do {
      clauses.push(this.#clause());
      this.#skipBlanks();
    } while (this.#at < this.#text.length);
    return clauses;
  }

  #clause(): Clause {
    const sign = this.#accept('+', '-');
    this.#skipBlanks();
    const occur = sign === '+' ? 'must' : sign === '-' ? 'mustNot' : 'should';
    let field = '';
    let term: Term;
    if (this.#peek() === '"') {
      term = { kind: 'text', text: this.#quoted() };
    } else {
      const word = this.#word();
      if (this.#accept(':') === undefined) {
        term = this.#plain(word);
      } else {
        field = word.text;
        this.#skipBlanks();
        term = this.#value();
      }
    }
    return { occur, field, term, boost: this.#boost() };
  }

  #value(): Term {
    const sign = this.#accept('>', '<');
    if (sign !== undefined) {
      const comparison = `${sign}${this.#accept('=') ?? ''}` as Comparison;
      this.#skipBlanks();
      return { kind: 'range', comparison, bound: this.#bound() };
    }
    if (this.#peek() === '"') return { kind: 'text', text: this.#quoted() };
    if (this.#peek() !== '-') return this.#plain(this.#word());
    const number = this.#number();
    return { kind: 'number', number, text: `-${this.#lastWord}` };
  }

  #bound(): number | DateValue {
    if (this.#peek() !== '"') return this.#number();
    const date = parseRfc3339(this.#quoted());
    if (date === undefined) throw new QueryError('bad date in a range: RFC 3339 is expected');
    return date;
  }

  #lastWord = '';

  #number(): number {
    const sign = this.#accept('-') === undefined ? 1 : -1;
    this.#skipBlanks();
    const { text } = this.#word();
    if (!numberPattern.test(text)) throw new QueryError(`"${text}" is no number`);
    this.#lastWord = text;
    return sign * Number(text);
  }

  /** A word that stands for itself, with what may follow it. */
  #plain(word: Word): Term {
    const { text, characters, isEscaped } = word;
    if (this.#peek() === '~') {
      if (numberPattern.test(text)) throw new QueryError('a number cannot be fuzzy');
      return { kind: 'fuzzy', text, distance: this.#distance() };
    }
    if (numberPattern.test(text)) return { kind: 'number', number: Number(text), text };
    const last = characters.length - 1;
    const isSlash = (index: number): boolean => characters[index] === '/' && !isEscaped[index];
    if (last > 0 && isSlash(0) && isSlash(last)) {
      const pattern = new Pattern(parseRegex(characters.slice(1, last).join('')));
      return { kind: 'pattern', pattern, isAnything: false };
    }
    const isWild = (index: number): boolean => /[*?]/.test(characters[index] ?? '') && !isEscaped[index];
    if (!characters.some((_, index) => isWild(index))) return { kind: 'text', text };
    const pattern = new Pattern(wildcardNode(characters, isWild));
    return { kind: 'pattern', pattern, isAnything: characters.every((each, index) => each === '*' && isWild(index)) };
  }

  #distance(): number {
    this.#at++;
    const [digits] = /^[\d.]*/.exec(this.#text.slice(this.#at, this.#at + 20)) as RegExpExecArray;
    this.#at += digits.length;
    const distance = digits === '' ? 1 : Math.floor(Number(digits));
    const isEnd = /^(?:$|[ \t\r\n^])/.test(this.#text.slice(this.#at, this.#at + 1));
    if (!isEnd || !(distance <= maxEditDistance)) {
      throw new QueryError(`bad edit distance: 0 to ${maxEditDistance} are expected`);
    }
    return distance;
  }

  #boost(): number {
    const next = this.#peek();
    if (next === ':' || next === '~') throw new QueryError(`misplaced ${next}`);
    if (this.#accept('^') === undefined) return 1;
    const start = this.#at;
    while (this.#at < this.#text.length && !blank.test(this.#text[this.#at] as string)) this.#at++;
    const digits = this.#text.slice(start, this.#at);
    if (digits === '') return 1;
    if (!numberPattern.test(digits.replace(/^-/, ''))) throw new QueryError(`bad boost "${digits}"`);
    return Number(digits);
  }

  #word(): Word {
    const characters: string[] = [];
    const isEscaped: boolean[] = [];
    if (/[-+=><]/.test(this.#peek() ?? '')) throw new QueryError(`misplaced ${this.#peek()}`);
    for (;;) {
      const next = this.#peek();
      if (next === undefined || blank.test(next) || next === ':' || next === '^' || next === '~') break;
      this.#at += next.length;
      const after = this.#peek();
      const escapes = next === '\\' && after !== undefined && escapable.test(after);
      if (escapes) this.#at += after.length;
      characters.push(escapes ? after : next);
      isEscaped.push(escapes);
    }
    if (characters.length === 0)
      throw new QueryError(this.#peek() === undefined ? 'incomplete query' : 'misplaced sign');
    return { characters, isEscaped, text: characters.join('') };
  }

  #quoted(): string {
    let text = '';
    this.#at++;
    for (;;) {
      const next = this.#peek();
      if (next === undefined) throw new QueryError('unterminated quote');
      this.#at += next.length;
      if (next === '"') return text;
      const after = this.#peek();
      if (next === '\\' && (after === '"' || after === '\\')) {
        text += after;
        this.#at++;
      } else {
        text += next;
      }
    }
  }

  /** The next character, be it of two units; undefined at the end. */
  #peek(): string | undefined {
    const point = this.#text.codePointAt(this.#at);
    return point === undefined ? undefined : String.fromCodePoint(point);
  }

  #accept(...wanted: string[]): string | undefined {
    const next = this.#text[this.#at];
    if (next === undefined || !wanted.includes(next)) return undefined;
    this.#at++;
    return next;
  }

  #skipBlanks(): void {
    while (blank.test(this.#text[this.#at] ?? '')) this.#at++;
  }
}
