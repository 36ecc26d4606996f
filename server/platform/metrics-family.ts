import { setImmediate } from 'node:timers/promises';

export type MetricType = 'counter' | 'gauge' | 'summary' | 'histogram';

/** One line of the exposition. */
export interface Sample {
  /** Appended to the family's name: `_sum`. */
  readonly suffix?: string;
  /** `scope="user",method="x"`, or empty. */
  readonly labels: string;
  readonly value: number;
}

/** Names, label keys and label values in the one alphabet that dashboards rely on (spec: console-metrics.md, section 11). */
export function sanitize(text: string): string {
  return /^[A-Za-z0-9_]*$/.test(text) ? text : text.replace(/[^A-Za-z0-9_]/g, '_');
}

/** Labels as they appear between braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${sanitize(key)}="${sanitize(value)}"`)
    .join(',');
}

export function joinLabels(first: string, second: string): string {
  if (first === '') return second;
  return second === '' ? first : `${first},${second}`;
}

/** Longest stretch of work between two pauses. */
const sliceMs = 2;

/** Collects families into Prometheus' text format. */
export class ExpositionWriter {
  readonly #prefix: string;
  readonly #baseLabels: string;
  readonly #lines: string[] = [];
  #sliceEnd = performance.now() + sliceMs;

  /** @param baseLabels go on every line. */
  constructor(prefix: string, baseLabels: string) {
    this.#prefix = prefix;
    this.#baseLabels = baseLabels;
  }

  /** Adds a family; one without samples does not appear. */
  add(name: string, type: MetricType, help: string, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    this.begin(name, type, help);
    this.addSamples(name, samples);
  }

  /** Begins a family whose samples follow in several parts. */
  begin(name: string, type: MetricType, help: string): void {
    const fullName = this.#prefix + name;
    this.#lines.push(`# HELP ${fullName} ${help}`, `# TYPE ${fullName} ${type}`);
  }

  addSamples(name: string, samples: Iterable<Sample>): void {
    const fullName = this.#prefix + name;
    for (const { suffix = '', labels, value } of samples) {
      const all = joinLabels(this.#baseLabels, labels);
      this.#lines.push(`${fullName}${suffix}${all === '' ? '' : `{${all}}`} ${numberText(value)}`);
    }
  }

  /** Lets players' messages through: a node with hundreds of RPC functions has tens of thousands of lines to write. */
  async pause(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await setImmediate();
    this.#sliceEnd = performance.now() + sliceMs;
  }

  /** Everything so far, ending in a line break. */
  get text(): string {
    return this.#lines.length === 0 ? '' : `${this.#lines.join('\n')}\n`;
  }
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}

/** A number that is counted up, or set. */
export class Tally {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }

  set(value: number): void {
    this.value = value;
  }
}

/** Label combinations of one family; further ones are counted together as `other`. */
const maxChildren = 1000;

/** All label combinations of one metric. Hot paths keep the child they use. */
export class Family<Child> {
  readonly name: string;
  readonly help: string;
  readonly #labelNames: readonly string[];
  readonly #create: () => Child;
  readonly #children = new Map<string, Child>();

  constructor(name: string, help: string, labelNames: readonly string[], create: () => Child) {
    this.name = sanitize(name);
    this.help = help;
    this.#labelNames = labelNames.map(sanitize);
    this.#create = create;
  }

  /** The child with these label values, in the order of the label names. */
  child(...values: string[]): Child {
    const labels = this.#labelNames.map((name, index) => `${name}="${sanitize(values[index] ?? '')}"`).join(',');
    const known = this.#children.get(labels);
    if (known !== undefined) return known;
    if (this.#children.size < maxChildren) return this.#add(labels);
    const other = this.#labelNames.map((name) => `${name}="other"`).join(',');
    return this.#children.get(other) ?? this.#add(other);
  }

  entries(): IterableIterator<[string, Child]> {
    return this.#children.entries();
  }

  #add(labels: string): Child {
    const child = this.#create();
    this.#children.set(labels, child);
    return child;
  }
}
