/**
 * A path that third parties call who know nothing of the API: they dictate what they send, and look at the status
 * only. Any HTTP verb is taken. Nobody has signed in, so the handler has to find out who calls before it does work.
 */
export interface RawRoute {
  /** As metrics call it. */
  readonly name: string;
  /** Segments, literal or `{variable}`, as in proto/. */
  readonly path: string;
  readonly handle: (request: RawRequest) => Promise<number>;
}

/** The handler answers the HTTP status; 404 looks like that of an unknown path. What it throws is told as usual. */
export interface RawRequest {
  /** What the path's variables stand for, in order, decoded. */
  readonly values: readonly string[];
  /**
   * The body, unpacked; to be called once, and not before the caller is known. Throws INVALID_ARGUMENT or
   * RESOURCE_EXHAUSTED above `socket.max_request_size_bytes`.
   */
  readonly readBody: () => Promise<Uint8Array>;
}
