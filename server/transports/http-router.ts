/** Something that a path and a verb name. */
export interface Binding<T> {
  /** Upper case, or `anyVerb`. */
  readonly verb: string;
  /** Segments, literal or `{variable}`. */
  readonly path: string;
  readonly target: T;
}

export interface Route<T> {
  readonly target: T;
  /** Names of the path's variables, in order. */
  readonly variables: readonly string[];
}

export type RouteMatch<T> =
  | { readonly kind: 'found'; readonly route: Route<T>; readonly values: readonly string[] }
  | { readonly kind: 'wrong-method' }
  | { readonly kind: 'unknown' };

/** Binds every verb of a path that is bound to nothing else. */
export const anyVerb = '*';

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  variable: Node<T> | undefined;
  readonly routes: Map<string, Route<T>>;
}

/**
 * Finds what a path and a verb name. Literal segments win over variables, unless they lack the verb; a variable takes
 * exactly one segment.
 */
export class HttpRouter<T> {
  readonly #root: Node<T> = newNode();

  /** Throws when two bind the same: a programming error. */
  constructor(bindings: Iterable<Binding<T>>) {
    for (const binding of bindings) this.#add(binding);
  }

  /** @param segments the decoded path, split at '/', without the leading empty part. */
  match(verb: string, segments: readonly string[]): RouteMatch<T> {
    const values: string[] = [];
    const node = find(this.#root, segments, 0, values, (end) => routeOf(end, verb) !== undefined);
    const route = node === undefined ? undefined : routeOf(node, verb);
    if (route !== undefined) return { kind: 'found', route, values };
    const other = find(this.#root, segments, 0, [], (end) => end.routes.size > 0);
    return { kind: other === undefined ? 'unknown' : 'wrong-method' };
  }

  #add({ verb, path, target }: Binding<T>): void {
    let node = this.#root;
    const variables: string[] = [];
    for (const segment of path.split('/').slice(1)) {
      const variable = /^\{(\w+)\}$/.exec(segment)?.[1];
      if (variable !== undefined) {
        variables.push(variable);
        node.variable ??= newNode();
        node = node.variable;
      } else {
        const next = node.literals.get(segment) ?? newNode();
        node.literals.set(segment, next);
        node = next;
      }
    }
    if (node.routes.has(verb)) throw new Error(`${verb} ${path} is bound twice`);
    node.routes.set(verb, { target, variables });
  }
}

function newNode<T>(): Node<T> {
  return { literals: new Map(), variable: undefined, routes: new Map() };
}

function routeOf<T>({ routes }: Node<T>, verb: string): Route<T> | undefined {
  return routes.get(verb) ?? routes.get(anyVerb);
}

// Depth is bounded by the longest declared path, width by literal-or-variable.
function find<T>(
  node: Node<T>,
  segments: readonly string[],
  index: number,
  values: string[],
  serves: (end: Node<T>) => boolean,
): Node<T> | undefined {
  if (index === segments.length) return serves(node) ? node : undefined;
  const segment = segments[index] ?? '';
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const found = find(literal, segments, index + 1, values, serves);
    if (found !== undefined) return found;
  }
  if (node.variable === undefined) return undefined;
  values.push(segment);
  const found = find(node.variable, segments, index + 1, values, serves);
  if (found === undefined) values.pop();
  return found;
}
