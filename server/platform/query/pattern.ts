import { QueryError } from './query-error.ts';
import type { Node } from './regex.ts';

/** Steps a pattern may have: what a character costs at worst. */
const maxSteps = 500;
/** Steps in all states and moves between states that are remembered. */
const maxRemembered = 100_000;

interface Step {
  /** Whether it takes this character; undefined takes none and leads on at once. */
  readonly takes: ((codePoint: number) => boolean) | undefined;
  readonly next: number[];
}

/** Where in the pattern a text may have come to. */
interface State {
  readonly steps: readonly number[];
  readonly isEnd: boolean;
  readonly moves: Map<number, State>;
}

const anyCharacter: Node = { kind: 'one', takes: () => true };

/** `*` stands for any text, `?` for any character. */
export function wildcardNode(pieces: readonly string[], isWild: (index: number) => boolean): Node {
  const parts = pieces.map((piece, index): Node => {
    if (!isWild(index)) return { kind: 'one', takes: (point) => point === piece.codePointAt(0) };
    return piece === '*' ? { kind: 'repeat', of: anyCharacter, min: 0, max: Number.POSITIVE_INFINITY } : anyCharacter;
  });
  return { kind: 'all', parts };
}

/**
 * Matches whole texts in time linear to their length, whatever the pattern: all the places it may stand at advance
 * together, and what follows from them is remembered.
 */
export class Pattern {
  readonly #steps: Step[] = [];
  readonly #end: number;
  #remembered = 0;
  /** By their steps. */
  #states = new Map<string, State>();
  #start: State;

  /** Throws QueryError when the pattern is too large. */
  constructor(node: Node) {
    const begin = this.#step(undefined);
    this.#end = this.#add(node, begin);
    this.#start = this.#state([begin]);
  }

  matches(text: string): boolean {
    let state = this.#start;
    for (let at = 0; at < text.length; at++) {
      const point = text.codePointAt(at) as number;
      if (point > 0xffff) at++;
      let next = state.moves.get(point);
      if (next === undefined) {
        next = this.#move(state, point);
        state.moves.set(point, next);
        this.#remembered++;
        if (this.#remembered > maxRemembered) next = this.#forgetAllBut(next);
      }
      if (next.steps.length === 0) return false;
      state = next;
    }
    return state.isEnd;
  }

  #step(takes: Step['takes']): number {
    if (this.#steps.length >= maxSteps) throw new QueryError('pattern too large');
    return this.#steps.push({ takes, next: [] }) - 1;
  }

  #link(from: number, to: number): void {
    (this.#steps[from] as Step).next.push(to);
  }

  /** Appends a node after a step, and answers the step at which it ends. */
  #add(node: Node, from: number): number {
    switch (node.kind) {
      case 'one': {
        const taking = this.#step(node.takes);
        const after = this.#step(undefined);
        this.#link(from, taking);
        this.#link(taking, after);
        return after;
      }
      case 'all': {
        // Even of nothing there can be too much, when it is repeated.
        const begin = this.#step(undefined);
        this.#link(from, begin);
        return node.parts.reduce((at, part) => this.#add(part, at), begin);
      }
      case 'any': {
        const ends = node.options.map((option) => {
          const begin = this.#step(undefined);
          this.#link(from, begin);
          return this.#add(option, begin);
        });
        const end = this.#step(undefined);
        for (const each of ends) this.#link(each, end);
        return end;
      }
      case 'repeat':
        return this.#repeat(node, from);
    }
  }

  #repeat({ of, min, max }: Extract<Node, { kind: 'repeat' }>, from: number): number {
    let at = from;
    for (let count = 0; count < min; count++) at = this.#add(of, at);
    const end = this.#step(undefined);
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.#step(undefined);
      this.#link(at, loop);
      this.#link(this.#add(of, loop), loop);
      this.#link(loop, end);
      return end;
    }
    for (let count = min; count < max; count++) {
      this.#link(at, end);
      at = this.#add(of, at);
    }
    this.#link(at, end);
    return end;
  }

  #move(state: State, point: number): State {
    const next = new Set<number>();
    for (const index of state.steps) {
      const { takes, next: after } = this.#steps[index] as Step;
      if (takes?.(point)) for (const each of after) next.add(each);
    }
    return this.#state([...next]);
  }

  /** The state of those steps and all that they lead on to. */
  #state(from: number[]): State {
    const reached = new Set(from);
    for (const index of reached) {
      const { takes, next } = this.#steps[index] as Step;
      if (takes === undefined) for (const each of next) reached.add(each);
    }
    const steps = [...reached].sort((a, b) => a - b);
    const key = steps.join();
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state = { steps, isEnd: reached.has(this.#end), moves: new Map() };
    this.#states.set(key, state);
    this.#remembered += steps.length;
    return state;
  }

  #forgetAllBut(state: State): State {
    this.#remembered = 0;
    this.#states = new Map();
    this.#start = this.#state([...this.#start.steps]);
    return this.#state([...state.steps]);
  }
}
