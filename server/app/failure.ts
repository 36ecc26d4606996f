import { redactText } from '../platform/redact.ts';

/** Errors that only a mistake in the program throws; there the place says more than the text. */
const programErrors = [TypeError, RangeError, ReferenceError, SyntaxError];

const maxCauses = 8;

/** What an operator reads when a command fails: what happened and why, without passwords. */
export function failureText(error: unknown): string {
  if (programErrors.some((kind) => error instanceof kind)) return redactText((error as Error).stack ?? String(error));
  const texts: string[] = [];
  let link = error;
  for (let depth = 0; depth < maxCauses && link !== undefined && link !== null; depth++) {
    const text = messageOf(link);
    if (!texts.some((said) => said.includes(text))) texts.push(text);
    link = link instanceof Error ? link.cause : undefined;
  }
  return redactText(texts.join(': '));
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What connecting to several addresses fails with has no text of its own.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ');
  return error.message === '' ? error.name : error.message;
}
