import { addJsonFields, type DateValue, type FieldValues, type QueryDocument } from '../../platform/query/query.ts';
import type { Instant } from '../../store/types.ts';
import type { ObjectRow } from '../storage/index.ts';
import type { IndexDefinition } from './definition.ts';
import { indexedValue } from './indexed-value.ts';

/** An object as an index knows it (spec: storage-wallet-purchases.md, section 2.2). */
export class IndexEntry implements QueryDocument {
  /** Without the value; with that of the indexed members where listings answer no more than that. */
  readonly row: ObjectRow;
  readonly createTime: DateValue;
  readonly updateTime: DateValue;
  readonly #fields: ReadonlyMap<string, FieldValues>;

  private constructor(row: ObjectRow, fields: ReadonlyMap<string, FieldValues>) {
    this.row = row;
    this.createTime = dateOf(row.create_time);
    this.updateTime = dateOf(row.update_time);
    this.#fields = fields;
  }

  /** Undefined when the object has none of the members that are indexed. */
  static of(row: ObjectRow, { fields: names, indexOnly }: IndexDefinition): IndexEntry | undefined {
    const value = JSON.parse(row.value) as Record<string, unknown>;
    const present = names.filter((name) => Object.hasOwn(value, name));
    if (present.length === 0) return undefined;
    const fields = new Map<string, FieldValues>();
    for (const name of present) addJsonFields(fields, `value.${name}`, value[name]);
    return new IndexEntry({ ...row, value: indexOnly ? indexedValue(row.value, present) : '' }, fields);
  }

  values(field: string): FieldValues | undefined {
    switch (field) {
      case 'create_time':
        return this.createTime;
      case 'update_time':
        return this.updateTime;
      case 'collection':
      case 'key':
      case 'user_id':
      case 'version':
      case 'read':
      case 'write':
        return this.row[field];
      default:
        return this.#fields.get(field);
    }
  }

  /** The fields below `value.` with what they hold. */
  members(): Iterable<readonly [string, FieldValues]> {
    return this.#fields;
  }

  /** Whether the row is the one that this was made of. */
  isOf(row: ObjectRow): boolean {
    const { version, read, write, update_time: time } = this.row;
    const isSame = version === row.version && read === row.read && write === row.write;
    return isSame && time.seconds === row.update_time.seconds && time.nanos === row.update_time.nanos;
  }
}

const dateOf = ({ seconds, nanos }: Instant): DateValue => ({ micros: seconds * 1_000_000 + Math.floor(nanos / 1000) });
