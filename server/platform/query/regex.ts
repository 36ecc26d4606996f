import { QueryError } from './query-error.ts';

/** What a pattern consists of. */
export type Node =
  | { readonly kind: 'one'; readonly takes: (codePoint: number) => boolean }
  | { readonly kind: 'all'; readonly parts: readonly Node[] }
  | { readonly kind: 'any'; readonly options: readonly Node[] }
  | { readonly kind: 'repeat'; readonly of: Node; readonly min: number; readonly max: number };

type Takes = (codePoint: number) => boolean;

const maxRepeat = 1000;
const maxDepth = 100;

const code = (character: string): number => character.codePointAt(0) as number;
const between =
  (from: number, to: number): Takes =>
  (point) =>
    point >= from && point <= to;
const isDigit = between(code('0'), code('9'));
const isWord: Takes = (point) =>
  isDigit(point) || between(code('a'), code('z'))(point) || between(code('A'), code('Z'))(point) || point === code('_');
const isSpace: Takes = (point) => point === 32 || point === 9 || point === 10 || point === 12 || point === 13;
const not =
  (takes: Takes): Takes =>
  (point) =>
    !takes(point);

const classes: Readonly<Record<string, Takes>> = {
  ...{ d: isDigit, D: not(isDigit), w: isWord, W: not(isWord), s: isSpace, S: not(isSpace) },
};
const controls: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11 };

/**
 * Reads the regular expressions that queries may hold: characters, `.`, classes, groups, alternatives and repeats.
 * There is nothing in them that needs a memory of the text (back references, look-around), so that each can be matched
 * in time linear to the text. Throws QueryError.
 */
export function parseRegex(text: string): Node {
  return new RegexReader(text).read();
}

class RegexReader {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#characters = [...text];
  }

  read(): Node {
    if (this.#peek() === '^') this.#at++;
    const node = this.#alternatives();
    if (this.#at < this.#characters.length) throw broken('unexpected )');
    return node;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(expected?: string): string {
    const character = this.#characters[this.#at];
    if (character === undefined || (expected !== undefined && character !== expected)) {
      throw broken(`missing ${expected ?? 'character'}`);
    }
    this.#at++;
    return character;
  }

  #alternatives(): Node {
    if (++this.#depth > maxDepth) throw broken('nested too deeply');
    const options = [this.#sequence()];
    while (this.#peek() === '|') {
      this.#at++;
      options.push(this.#sequence());
    }
    this.#depth--;
    return options.length === 1 ? (options[0] as Node) : { kind: 'any', options };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === '|' || next === ')') return { kind: 'all', parts };
      // Whole texts are matched: the anchor says nothing new.
      if (next === '$' && this.#at === this.#characters.length - 1) this.#at++;
      else parts.push(this.#repeats(this.#atom()));
    }
  }

  #atom(): Node {
    const character = this.#take();
    if (character === '(') {
      if (this.#peek() === '?') {
        this.#at++;
        this.#take(':');
      }
      const inner = this.#alternatives();
      this.#take(')');
      return inner;
    }
    if (character === '[') return one(this.#set());
    if (character === '.') return one((point) => point !== 10);
    if (character === '\\') return one(this.#escape());
    if ('*+?^$'.includes(character)) throw broken(`misplaced ${character}`);
    return one(equals(code(character)));
  }

  #repeats(node: Node): Node {
    const counts = this.#counts();
    if (counts === undefined) return node;
    // As much or as little as possible is the same when whole texts are matched.
    if (this.#peek() === '?') this.#at++;
    if (this.#counts() !== undefined) throw broken('repeated repeat');
    return { kind: 'repeat', of: node, ...counts };
  }

  #counts(): { min: number; max: number } | undefined {
    const next = this.#peek();
    const simple = { '*': [0, Number.POSITIVE_INFINITY], '+': [1, Number.POSITIVE_INFINITY], '?': [0, 1] }[next ?? ''];
    if (simple !== undefined) {
      this.#at++;
      return { min: simple[0] as number, max: simple[1] as number };
    }
    if (next !== '{') return undefined;
    const match = /^\{(\d{1,4})(?:(,)(\d{0,4}))?\}/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''));
    if (match === null) return undefined;
    const [all, from, comma, to] = match;
    const min = Number(from);
    const max = comma === undefined ? min : to === '' ? Number.POSITIVE_INFINITY : Number(to);
    if (min > maxRepeat || (max > maxRepeat && max !== Number.POSITIVE_INFINITY) || min > max) {
      throw broken('bad number of repeats');
    }
    this.#at += all.length;
    return { min, max };
  }

  #escape(): Takes {
    const character = this.#take();
    const named = classes[character];
    if (named !== undefined) return named;
    return equals(escapedPoint(character));
  }

  #set(): Takes {
    const isNegated = this.#peek() === '^';
    if (isNegated) this.#at++;
    const members: Takes[] = [];
    do members.push(this.#member());
    while (this.#peek() !== ']');
    this.#at++;
    const takes: Takes = (point) => members.some((member) => member(point));
    return isNegated ? not(takes) : takes;
  }

  #member(): Takes {
    const from = this.#take();
    if (from === '\\' && classes[this.#peek() ?? ''] !== undefined) return this.#escape();
    const low = from === '\\' ? escapedPoint(this.#take()) : code(from);
    if (this.#peek() !== '-' || this.#characters[this.#at + 1] === ']') return equals(low);
    this.#at++;
    const to = this.#take();
    const high = to === '\\' ? escapedPoint(this.#take()) : code(to);
    if (low > high) throw broken('range in disorder');
    return between(low, high);
  }
}

function escapedPoint(character: string): number {
  const control = controls[character];
  if (control !== undefined) return control;
  if (/[0-9A-Za-z]/.test(character)) throw broken(`unknown escape \\${character}`);
  return code(character);
}

const one = (takes: Takes): Node => ({ kind: 'one', takes });
const equals =
  (wanted: number): Takes =>
  (point) =>
    point === wanted;
const broken = (why: string): QueryError => new QueryError(`broken regular expression: ${why}`);
