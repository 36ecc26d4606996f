/** The text is no query; `message` says why. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
}
