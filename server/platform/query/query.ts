import { editDistance } from './edit-distance.ts';
import { type FieldValue, type FieldValues, isList, type QueryDocument } from './fields.ts';
import { type Clause, type Comparison, parseClauses, type Term } from './parse.ts';

export {
  addJsonFields,
  type DateValue,
  type FieldValue,
  type FieldValues,
  isList,
  type QueryDocument,
} from './fields.ts';
export { QueryError } from './query-error.ts';

/** How well a value matches, by the clause's boost; undefined when it does not. */
type Weigh = (value: FieldValue) => number | undefined;

interface CompiledClause {
  readonly field: string;
  readonly weigh: Weigh;
  /** Every value that matches counts, instead of the best. */
  readonly sums: boolean;
}

/** A clause that a document must match, for those who keep documents by their fields. */
export interface RequiredClause {
  readonly field: string;
  /** Whether the clause asks for this one keyword and nothing else. */
  readonly keyword: string | undefined;
}

/**
 * A search, compiled once and asked about any number of documents. The language is that of the spec, matches-matchmaker-
 * parties.md, section 4.3, which the storage index, match listings, parties and the matchmaker share; unlike there,
 * quotes ask for exactly the text between them.
 */
export class Query {
  /** Clauses that begin with `+`. */
  readonly required: readonly RequiredClause[];
  readonly #must: readonly CompiledClause[];
  readonly #should: readonly CompiledClause[];
  readonly #mustNot: readonly CompiledClause[];

  /** Throws QueryError for text that is no query. */
  constructor(text: string) {
    const clauses = parseClauses(text);
    const compiled = (occur: Clause['occur']): CompiledClause[] =>
      clauses.filter((clause) => clause.occur === occur).map(compile);
    this.required = clauses
      .filter(({ occur }) => occur === 'must')
      .map(({ field, term }) => ({ field, keyword: term.kind === 'text' ? term.text : undefined }));
    this.#must = compiled('must');
    this.#should = compiled('should');
    this.#mustNot = compiled('mustNot');
  }

  matches(document: QueryDocument): boolean {
    for (const clause of this.#must) if (!holds(clause, document)) return false;
    for (const clause of this.#mustNot) if (holds(clause, document)) return false;
    if (this.#must.length > 0 || this.#should.length === 0) return true;
    return this.#should.some((clause) => holds(clause, document));
  }

  /** How well a document matches: the more the better; only the order of such numbers means something. */
  score(document: QueryDocument): number | undefined {
    if (!this.matches(document)) return undefined;
    let sum = 0;
    for (const clause of this.#must) sum += scoreOf(clause, document) ?? 0;
    for (const clause of this.#should) sum += scoreOf(clause, document) ?? 0;
    return sum;
  }
}

function holds({ field, weigh }: CompiledClause, document: QueryDocument): boolean {
  const values = document.values(field);
  if (values === undefined) return false;
  return isList(values) ? values.some((value) => weigh(value) !== undefined) : weigh(values) !== undefined;
}

function scoreOf({ field, weigh, sums }: CompiledClause, document: QueryDocument): number | undefined {
  const values: FieldValues | undefined = document.values(field);
  if (values === undefined) return undefined;
  const weights = (isList(values) ? [...new Set(values)] : [values]).flatMap((value) => weigh(value) ?? []);
  if (weights.length === 0) return undefined;
  return weights.reduce((total, weight) => (sums ? total + weight : Math.max(total, weight)));
}

const compile = ({ field, term, boost }: Clause): CompiledClause => ({
  field,
  weigh: weigher(term, boost),
  sums: term.kind === 'pattern',
});

/** Boosts count twice where keywords are compared, as in Nakama. */
function weigher(term: Term, boost: number): Weigh {
  switch (term.kind) {
    case 'text':
      return (value) => (value === term.text ? boost * boost : undefined);
    case 'number':
      return (value) => {
        if (value === term.number) return boost;
        return value === term.text ? boost * boost : undefined;
      };
    case 'fuzzy': {
      const characters = [...term.text];
      return (value) => {
        const distance = typeof value === 'string' ? editDistance(characters, value, term.distance) : undefined;
        return distance === undefined ? undefined : (boost * boost) / (1 + distance);
      };
    }
    case 'pattern':
      if (term.isAnything) return () => boost;
      return (value) => (typeof value === 'string' && term.pattern.matches(value) ? boost : undefined);
    case 'range': {
      const { bound } = term;
      const isInside = comparisons[term.comparison];
      if (typeof bound === 'number') {
        return (value) => (typeof value === 'number' && isInside(value, bound) ? boost : undefined);
      }
      return (value) => (typeof value === 'object' && isInside(value.micros, bound.micros) ? boost : undefined);
    }
  }
}

const comparisons: Readonly<Record<Comparison, (value: number, bound: number) => boolean>> = {
  '>': (value, bound) => value > bound,
  '>=': (value, bound) => value >= bound,
  '<': (value, bound) => value < bound,
  '<=': (value, bound) => value <= bound,
};
