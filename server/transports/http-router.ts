import type { ApiEntry } from '../gateway/registry.ts';
import type { HttpBinding } from '../wire/types.ts';

export interface Route {
  readonly entry: ApiEntry;
  readonly binding: HttpBinding;
  /** Names of the path's variables, in order. */
  readonly variables: readonly string[];
}

export type RouteMatch =
  | { readonly kind: 'found'; readonly route: Route; readonly values: readonly string[] }
  | { readonly kind: 'wrong-method' }
  | { readonly kind: 'unknown' };

interface Node {
  readonly literals: Map<string, Node>;
  variable: Node | undefined;
  readonly routes: Map<string, Route>;
}

/**
 * Finds the method that a path and a verb name. Literal segments win over variables, unless they lack the verb; a
 * variable takes exactly one segment.
 */
export class HttpRouter {
  readonly #root = newNode();

  constructor(entries: Iterable<ApiEntry>) {
    for (const entry of entries) {
      for (const binding of entry.type.http) this.#add(entry, binding);
    }
  }

  /** @param segments the decoded path, split at '/', without the leading empty part. */
  match(verb: string, segments: readonly string[]): RouteMatch {
    const values: string[] = [];
    const node = find(this.#root, segments, 0, values, (end) => end.routes.has(verb));
    const route = node?.routes.get(verb);
    if (route !== undefined) return { kind: 'found', route, values };
    const other = find(this.#root, segments, 0, [], (end) => end.routes.size > 0);
    return { kind: other === undefined ? 'unknown' : 'wrong-method' };
  }

  #add(entry: ApiEntry, binding: HttpBinding): void {
    let node = this.#root;
    const variables: string[] = [];
    for (const segment of binding.path.split('/').slice(1)) {
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
    if (node.routes.has(binding.verb)) throw new Error(`two methods bind ${binding.verb} ${binding.path}`);
    node.routes.set(binding.verb, { entry, binding, variables });
  }
}

function newNode(): Node {
  return { literals: new Map(), variable: undefined, routes: new Map() };
}

// Depth is bounded by the longest declared path, width by literal-or-variable.
function find(
  node: Node,
  segments: readonly string[],
  index: number,
  values: string[],
  serves: (end: Node) => boolean,
): Node | undefined {
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
