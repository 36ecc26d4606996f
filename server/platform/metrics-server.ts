import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the server shows. */
export interface Exposition {
  readonly contentType: string;
  text(): Promise<string>;
  /** Begins to watch the process; the result ends it. */
  watchProcess(): () => void;
}

/** A scrape is one short request; whoever takes longer is not Prometheus. */
const requestTimeoutMs = 10_000;
const maxConnections = 64;

/** Shows the metrics over HTTP, on any path (spec: console-metrics.md, section 11). */
export class MetricsServer {
  readonly #exposition: Exposition;
  readonly #port: number;
  readonly #address: string | undefined;
  #server: Server | undefined;
  #unwatch: (() => void) | undefined;
  #rendering: Promise<string> | undefined;

  /**
   * @param port 0 for no server at all
   * @param address to listen on; all of them when left out
   */
  constructor(exposition: Exposition, port: number, address?: string) {
    this.#exposition = exposition;
    this.#port = port;
    this.#address = address;
  }

  /** Rejects when the port is taken. */
  async start(): Promise<void> {
    if (this.#port === 0) return;
    const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { Allow: 'GET, HEAD' }).end();
        return;
      }
      this.#render().then(
        (text) => response.writeHead(200, { 'Content-Type': this.#exposition.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
    });
    server.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Exclusive: the workers of one machine show metrics of their own each, on ports of their own.
      server.listen({ port: this.#port, host: this.#address, exclusive: true }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    // A broken accept must not end the game server.
    server.on('error', () => undefined);
    this.#server = server;
    this.#unwatch = this.#exposition.watchProcess();
  }

  /** One exposition for all who ask at the same time. */
  #render(): Promise<string> {
    this.#rendering ??= this.#exposition.text().finally(() => {
      this.#rendering = undefined;
    });
    return this.#rendering;
  }

  /** The port in use, or null when there is no server. */
  get port(): number | null {
    return this.#server === undefined ? null : (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#unwatch?.();
    this.#unwatch = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}
