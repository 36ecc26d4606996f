import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
} from 'uWebSockets.js';
import type {
  Connection,
  Listener,
  ListenerHandlers,
  ListenerLog,
  ListenerOptions,
  UpgradeDecision,
} from './listener.ts';
import { UwsExchange } from './listener-uws-exchange.ts';
import {
  closeText,
  handshakeFault,
  headFault,
  isWebSocketRequest,
  listenError,
  NativeModuleError,
  refuse,
  websocketPath,
} from './listener-wire.ts';

type Uws = typeof import('uWebSockets.js');

/**
 * Where uWebSockets.js cannot keep the contract (seen with the binary for Node.js 20):
 * - A request line that arrives in two pieces is answered 505, so long targets are at the mercy of the network; TLS,
 *   which hands over whole records, mends most of it. HTTP/1.0 and absolute targets get 505 too.
 * - A request that arrives before the previous one was answered closes the connection. More than 98 headers, and chunk
 *   extensions, are never answered; trailers lose the answer.
 * - Requests, bodies and idle connections time out after 8 to 12 s, whatever the options say.
 * - WebSocket violations, invalid UTF-8 in text, and messages beyond `maxPayloadLength` drop the socket without a close
 *   frame; unmasked frames are not noticed and read as noise.
 * - The port of the peer is not known.
 */

/** Loads the native module. Its header cap is per process and read while loading: the first caller decides. */
export async function loadUws(maxHeaderBytes: number): Promise<Uws> {
  // One byte more: at its limit uWebSockets.js refuses on its own, and only heads that come in pieces.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= String(maxHeaderBytes + 1);
  try {
    const uws = (await import('uWebSockets.js')).default as Uws & { _cfg(key: string): void };
    uws._cfg('silent'); // no `uWebSockets: 20` in responses
    return uws;
  } catch (error) {
    throw new NativeModuleError('uWebSockets.js could not be loaded', { cause: error });
  }
}

/** What the native socket carries for us. */
interface Link<D> {
  link: { data: D; connection: UwsConnection | undefined };
}
type Socket<D> = WebSocket<Link<D>> & Link<D>;

export function listenUws<D>(
  uws: Uws,
  options: ListenerOptions,
  handlers: ListenerHandlers<D>,
  log: ListenerLog,
): Promise<Listener> {
  const { tls } = options;
  const app = tls ? secureApp(uws, tls) : uws.App();
  let connectionCount = 0;

  const route = (response: HttpResponse, request: HttpRequest, context?: us_socket_context_t): void => {
    const exchange = new UwsExchange(response, request);
    const fault = headFault(exchange, exchange.target, options.maxHeaderBytes);
    if (fault !== undefined) refuse(exchange, fault);
    else if (isWebSocketRequest(exchange)) handshake(exchange, context);
    else {
      try {
        handlers.request(exchange);
      } catch (error) {
        log.error({ err: error }, 'request handler failed');
        refuse(exchange, 500);
      }
    }
  };

  const handshake = (exchange: UwsExchange, context: us_socket_context_t | undefined): void => {
    const decided = (decision: UpgradeDecision<D>) => {
      const rejection = 'reject' in decision ? decision.reject : handshakeFault(exchange.headers);
      // Without a context the key was not one; handshakeFault has said so.
      if (rejection) exchange.respond(rejection.status, rejection.headers, rejection.body, true);
      else if (context && 'accept' in decision)
        exchange.upgrade({ link: { data: decision.accept, connection: undefined } }, context);
    };
    const failed = (error: unknown) => {
      log.error({ err: error }, 'upgrade handler failed');
      refuse(exchange, 500);
    };
    try {
      const decision = handlers.upgrade(exchange);
      if (decision instanceof Promise) decision.then(decided).catch(failed);
      else decided(decision);
    } catch (error) {
      failed(error);
    }
  };

  app.ws<Link<D>>(websocketPath, {
    // uWebSockets.js drops a socket without a close frame when a message is over its limit. We want to say 1009, so it
    // lets through what can be meant honestly and we refuse it; only far larger ones end abruptly.
    maxPayloadLength: options.maxMessageBytes * 4 + 64 * 1024,
    maxBackpressure: 0, // unlimited: it would drop messages silently. The sender bounds its own.
    closeOnBackpressureLimit: 0,
    idleTimeout: 0, // keepalive is the session's
    sendPingsAutomatically: false,
    maxLifetime: 0,
    compression: uws.DISABLED,
    upgrade: route,
    open(ws) {
      const { link } = ws as Socket<D>;
      connectionCount++;
      link.connection = new UwsConnection(ws, options.closeAckWaitMs);
      handlers.open(link.data, link.connection);
    },
    message(ws, message, isBinary) {
      const { data, connection } = (ws as Socket<D>).link;
      if (!connection?.isOpen) return;
      if (message.byteLength > options.maxMessageBytes) connection.end(1009, '');
      else handlers.message(data, Buffer.from(message), isBinary);
    },
    pong(ws) {
      const { data, connection } = (ws as Socket<D>).link;
      if (connection?.isOpen) handlers.pong(data);
    },
    drain(ws) {
      const { data, connection } = (ws as Socket<D>).link;
      if (connection?.drained()) handlers.drain(data);
    },
    close(ws, code, message) {
      const { data, connection } = (ws as Socket<D>).link;
      const text = Buffer.from(message).toString();
      connection?.closed();
      queueMicrotask(() => {
        connectionCount--;
        handlers.close(data, connection?.endCode ?? code, connection?.endText ?? text);
      });
    },
  });
  app.any('/*', (response, request) => route(response, request));

  return bind(uws, app, options).then(({ token, port }) => {
    let accepting = true;
    const stopAccepting = () => {
      if (accepting) uws.us_listen_socket_close(token);
      accepting = false;
    };
    return {
      kind: 'uws',
      port,
      get connectionCount() {
        return connectionCount;
      },
      stopAccepting,
      async close() {
        stopAccepting();
        app.close();
      },
    };
  });
}

function secureApp(uws: Uws, { certFile, keyFile }: { certFile: string; keyFile: string }): TemplatedApp {
  try {
    return uws.SSLApp({ key_file_name: keyFile, cert_file_name: certFile });
  } catch (error) {
    throw new Error(`cannot use the TLS certificate ${certFile} with the key ${keyFile}`, { cause: error });
  }
}

interface Bound {
  token: us_listen_socket;
  port: number;
}

function bind(uws: Uws, app: TemplatedApp, options: ListenerOptions): Promise<Bound> {
  return new Promise((resolve, reject) => {
    const bound = (token: us_listen_socket | false) => {
      if (token) resolve({ token, port: uws.us_socket_local_port(token) });
      else reject(listenError(options));
    };
    // Without the flag several processes share the port, and one that was left behind is not noticed.
    const flags = options.reusePort ? 0 : 1; // LIBUS_LISTEN_EXCLUSIVE_PORT
    if (options.address === '') app.listen(options.port, flags, bound);
    else (app as unknown as ListenOnHost).listen(options.address, options.port, flags, bound);
  });
}

/** A form the native code knows and its types do not. */
interface ListenOnHost {
  listen(host: string, port: number, flags: number, bound: (token: us_listen_socket | false) => void): void;
}

class UwsConnection implements Connection {
  endCode: number | undefined;
  endText: string | undefined;
  /** Gone once the native socket was ended: it throws then. */
  #socket: Pick<WebSocket<unknown>, 'send' | 'cork' | 'ping' | 'end' | 'close' | 'getBufferedAmount'> | undefined;
  readonly #closeAckWaitMs: number;
  #corked = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket<unknown>, closeAckWaitMs: number) {
    this.#socket = socket;
    this.#closeAckWaitMs = closeAckWaitMs;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined && this.endCode === undefined;
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  send(data: string | Uint8Array, binary: boolean): void {
    if (this.isOpen) this.#socket?.send(data, binary, false);
  }

  ping(): void {
    if (this.isOpen) this.#socket?.ping();
  }

  cork(fn: () => void): void {
    if (!this.isOpen || this.#corked) {
      fn();
      return;
    }
    let failure: { error: unknown } | undefined;
    this.#corked = true;
    this.#socket?.cork(() => {
      try {
        fn();
      } catch (error) {
        failure = { error };
      }
    });
    this.#corked = false;
    if (this.endCode !== undefined) this.#finish();
    if (failure) throw failure.error;
  }

  end(code: number, text: string): void {
    if (!this.isOpen) return;
    this.endCode = code;
    this.endText = closeText(text);
    // Ended inside a cork, the native socket would never send its FIN.
    if (!this.#corked) this.#finish();
  }

  terminate(): void {
    this.endCode ??= 1006;
    this.endText ??= '';
    this.#socket?.close();
  }

  /** The native buffer shrank; false when that is nobody's business any more. */
  drained(): boolean {
    if (this.isOpen) return true;
    this.#finish();
    return false;
  }

  /** The native socket is closing. */
  closed(): void {
    this.#socket = undefined;
    clearTimeout(this.#timer);
  }

  /**
   * Ends the native socket once everything has been handed to the kernel; after that it cannot be reached any more,
   * so a peer that does not read has to be given up before. (One that only withholds its own close frame is dropped
   * by uWebSockets.js about 4 s later.)
   */
  #finish(): void {
    if (this.bufferedBytes === 0) this.#socket?.end(this.endCode, this.endText);
    else this.#timer ??= setTimeout(() => this.#socket?.close(), this.#closeAckWaitMs);
  }
}
