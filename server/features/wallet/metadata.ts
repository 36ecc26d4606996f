import { invalidArgument } from '../../platform/errors.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { sqlState } from '../../store/pg-errors.ts';

/** Throws INVALID_ARGUMENT unless the text is a JSON object. */
export function checkMetadata(text: string): void {
  if (!isJsonObject(text)) throw invalidArgument('Metadata must be a JSON object.');
}

/** A lone surrogate is proper JSON to everybody but the database. */
export function refuseBadText(error: unknown): never {
  throw sqlState(error) === '22P02' ? invalidArgument('Invalid character in text.') : error;
}
