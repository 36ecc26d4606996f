/**
 * What the in-memory ports of several nodes in one process share, as the Redis ports share a Redis. A single node has a
 * hub of its own; tests give one hub to several nodes. Each kind of port keeps one state object here.
 */
export class MemoryHub {
  readonly #parts = new Map<new () => object, object>();

  /** The hub's only instance of that class. */
  part<T extends object>(kind: new () => T): T {
    const known = this.#parts.get(kind);
    if (known !== undefined) return known as T;
    const part = new kind();
    this.#parts.set(kind, part);
    return part;
  }
}
