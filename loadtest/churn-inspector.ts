import { createWriteStream } from 'node:fs';
import { WebSocket } from 'ws';

interface Reply {
  readonly id?: number;
  readonly method?: string;
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has a shape per method
  readonly result?: any;
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has a shape per event
  readonly params?: any;
  readonly error?: { readonly message: string };
}

/** What one collection leaves for the next: weak references and finalizers need several. */
const collections = 3;

/** A debugger attached to a node process: it can have garbage collected, and look at what is left. */
export class Inspector {
  readonly #ws: WebSocket;
  readonly #calls = new Map<number, (reply: Reply) => void>();
  #lastId = 0;
  #onChunk: (chunk: string) => void = () => undefined;

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('message', (data) => {
      const reply = JSON.parse(String(data)) as Reply;
      if (reply.id !== undefined) this.#calls.get(reply.id)?.(reply);
      else if (reply.method === 'HeapProfiler.addHeapSnapshotChunk') this.#onChunk(reply.params.chunk);
    });
  }

  /** @param port of a node started with `inspect`. */
  static async attach(port: number): Promise<Inspector> {
    const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    const ws = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '', { perMessageDeflate: false });
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    return new Inspector(ws);
  }

  /** Bytes of the heap that are reachable. */
  async heapAfterGc(): Promise<number> {
    for (let n = 0; n < collections; n++) await this.#call('HeapProfiler.collectGarbage');
    return (await this.#call('Runtime.getHeapUsage')).usedSize;
  }

  /** Writes a heap snapshot, to be opened in a browser's developer tools. The process stands still meanwhile. */
  async writeSnapshot(file: string): Promise<void> {
    const out = createWriteStream(file);
    this.#onChunk = (chunk) => void out.write(chunk);
    await this.#call('HeapProfiler.takeHeapSnapshot');
    await new Promise((resolve) => out.end(resolve));
  }

  detach(): void {
    this.#ws.close();
  }

  async #call(method: string): Promise<Reply['result']> {
    const id = ++this.#lastId;
    const reply = await new Promise<Reply>((resolve) => {
      this.#calls.set(id, resolve);
      this.#ws.send(JSON.stringify({ id, method }));
    });
    this.#calls.delete(id);
    if (reply.error !== undefined) throw new Error(`${method}: ${reply.error.message}`);
    return reply.result;
  }
}
