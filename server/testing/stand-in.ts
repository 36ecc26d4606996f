import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** What a page answers: a JSON value, bytes, or a status of its own. */
export interface Page {
  readonly status?: number;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
}

export interface Asked {
  readonly query: URLSearchParams;
  /** Of a POST. */
  readonly form: URLSearchParams;
  readonly body: string;
  /** The Authorization header; '' when there is none. */
  readonly authorization: string;
}

/** What can be wrong with a host; a number is the status of all its answers. */
export type Fault = 'silent' | 'slow' | 'drop' | 'garbage' | 'huge' | 'redirect' | number;

/**
 * Stands in for third parties on the web: one server with the pages of many hosts, at paths that begin with the host's
 * name. `outbound.routes` with `routes` sends a node there.
 */
export class StandIn {
  readonly #server: Server;
  readonly #hosts: readonly string[];
  readonly #pages = new Map<string, (asked: Asked) => Page>();
  readonly #faults = new Map<string, Fault>();
  readonly #calls: string[] = [];
  #port = 0;

  private constructor(hosts: readonly string[]) {
    this.#hosts = hosts;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(hosts: readonly string[]): Promise<StandIn> {
    const standIn = new StandIn(hosts);
    await new Promise<void>((resolve) => standIn.#server.listen(0, '127.0.0.1', resolve));
    const address = standIn.#server.address();
    standIn.#port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    return standIn;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The value of `outbound.routes`. */
  get routes(): string[] {
    // Plain http as well, so that whoever tries it finds something.
    return this.#hosts.flatMap((host) =>
      ['https', 'http'].map((scheme) => `${scheme}://${host}=http://127.0.0.1:${this.#port}/${host}`),
    );
  }

  /** @param address host and path, without the scheme. */
  serve(address: string, page: (asked: Asked) => Page): void {
    this.#pages.set(address, page);
  }

  /** What is served there. */
  page(address: string): (asked: Asked) => Page {
    return this.#pages.get(address) ?? (() => ({ status: 404 }));
  }

  /** From now on, or until healed, at all addresses that begin like that. */
  fault(address: string, fault: Fault): void {
    this.#faults.set(address, fault);
  }

  heal(): void {
    this.#faults.clear();
  }

  /** How often pages were asked for whose address begins like that. */
  calls(address: string): number {
    return this.#calls.filter((each) => each.startsWith(address)).length;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://stand-in');
    const address = pathname.slice(1);
    this.#calls.push(address);
    let body = '';
    for await (const chunk of request) body += chunk;
    const fault = [...this.#faults].find(([prefix]) => address.startsWith(prefix));
    if (fault !== undefined) {
      fail(response, fault[1], address);
      return;
    }
    const { authorization = '' } = request.headers;
    const form = new URLSearchParams(body);
    const { status = 200, json, bytes } = this.page(address)({ query, form, body, authorization });
    response.writeHead(status, {
      'content-type': json === undefined ? 'application/octet-stream' : 'application/json',
    });
    response.end(json === undefined ? bytes : JSON.stringify(json));
  }
}

function fail(response: ServerResponse, fault: Fault, address: string): void {
  switch (fault) {
    case 'silent':
      return;
    case 'slow':
      response.writeHead(200).write('{');
      return;
    case 'drop':
      response.destroy();
      return;
    case 'garbage':
      response.writeHead(200).end('<html>');
      return;
    case 'huge':
      // JSON that would do, but for its length.
      response.writeHead(200).end(`{"padding":"${'x'.repeat(4 * 1024 * 1024)}"}`);
      return;
    case 'redirect':
      response.writeHead(302, { location: `/${address}?again` }).end();
      return;
    default:
      response.writeHead(fault).end('{}');
  }
}
