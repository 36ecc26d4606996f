/** One setting of the server, as data: sources, help, documentation and the console page derive from it. */
export type Option = StringOption | IntOption | BoolOption | ListOption | EnumOption | JsonOption;

interface OptionBase {
  /** Dotted name: `session.token_expiry_sec`. */
  readonly key: string;
  readonly description: string;
  /** True: never shown. `password`: shown without the passwords inside the addresses it holds. */
  readonly secret?: true | 'password';
  /** The default is public knowledge: refused outside dev. */
  readonly insecureDefault?: true;
}

export interface StringOption extends OptionBase {
  readonly type: 'string';
  readonly default: string;
  /** In characters. */
  readonly minLength?: number;
  readonly maxLength?: number;
}

export interface IntOption extends OptionBase {
  readonly type: 'int';
  readonly default: number;
  readonly min: number;
  readonly max?: number;
}

export interface BoolOption extends OptionBase {
  readonly type: 'bool';
  readonly default: boolean;
  /** The default when the server runs with `dev`. */
  readonly devDefault?: boolean;
}

export interface ListOption extends OptionBase {
  readonly type: 'string[]';
  readonly default: readonly string[];
}

export interface EnumOption extends OptionBase {
  readonly type: 'enum';
  readonly default: string;
  readonly choices: readonly string[];
}

/** Text of JSON, '' for none. A YAML file may hold what it stands for. */
export interface JsonOption extends OptionBase {
  readonly type: 'json';
  readonly default: '';
}

export type OptionValue = string | number | boolean | readonly string[];

/** The TypeScript type of an option's value. */
export type ValueOf<O> = O extends { type: 'int' }
  ? number
  : O extends { type: 'bool' }
    ? boolean
    : O extends { type: 'string[]' }
      ? readonly string[]
      : O extends { type: 'enum'; choices: readonly (infer C)[] }
        ? C
        : string;
