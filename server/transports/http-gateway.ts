import type { Logger } from 'pino';
import type { Gateway } from '../gateway/gateway.ts';
import type { ApiEntry } from '../gateway/registry.ts';
import { type ClientAddress, clientAddress } from '../platform/client-address.ts';
import type { Config } from '../platform/config.ts';
import { AppError, Code, codeNames, internal, invalidArgument, notFound } from '../platform/errors.ts';
import type { CallMeter, Metrics } from '../platform/metrics.ts';
import { within } from '../platform/within.ts';
import { WireDecodeError } from '../wire/decode-error.ts';
import { decodeJson, decodeJsonField, decodeUtf8, restMode, setFromText } from '../wire/json-decode.ts';
import { encodeJson } from '../wire/json-encode.ts';
import type { RawRoute } from '../wire/raw-route.ts';
import type { AnyMessage, HttpBinding } from '../wire/types.ts';
import { chooseEncoding, compress, decompress } from './http-compression.ts';
import { corsHeaders, preflight } from './http-cors.ts';
import { errorAnswer, type HttpAnswer, headerValue, headerValues, jsonAnswer, textAnswer } from './http-exchange.ts';
import { cleanPath, parseQuery, pathSegments } from './http-path.ts';
import { anyVerb, type Binding, HttpRouter } from './http-router.ts';
import type { HeaderList, HttpExchange, RequestHead } from './listener.ts';

interface Dependencies {
  readonly gateway: Gateway;
  /** What is served besides the API's methods. */
  readonly rawRoutes: readonly RawRoute[];
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Is the node able and willing to serve? */
  readonly isReady: () => Promise<boolean>;
  /** The answer to a plain `GET /ws`. */
  readonly refuseUpgrade: (request: RequestHead) => HttpAnswer;
}

/** What a path names. */
type Target =
  | { readonly entry: ApiEntry; readonly binding: HttpBinding }
  | { readonly entry: null; readonly raw: RawRoute };

/** A request to a method of the API. */
interface ApiRequest {
  readonly exchange: HttpExchange;
  readonly entry: ApiEntry;
  readonly binding: HttpBinding;
  /** Names and values of the path's variables. */
  readonly variables: readonly string[];
  readonly values: readonly string[];
}

/** REST: finds the method that a request names, decodes, calls, encodes (spec: http-auth-accounts.md, section 1). */
export class HttpGateway {
  readonly #deps: Dependencies;
  readonly #router: HttpRouter<Target>;
  readonly #meters = new Map<string, CallMeter>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #maxBodyBytes: number;
  readonly #proxyCount: number;
  readonly #staticHeaders: HeaderList;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    const { socket } = deps.config;
    this.#maxBodyBytes = socket.max_request_size_bytes;
    this.#proxyCount = socket.proxy_count;
    this.#staticHeaders = socket.response_headers.map((text) => {
      const split = text.indexOf('=');
      return [text.slice(0, split), text.slice(split + 1)] as const;
    });
    const entries = [...deps.gateway.registry.allApi()];
    this.#router = new HttpRouter([...entries.flatMap(apiBindings), ...deps.rawRoutes.map(rawBinding)]);
    for (const { name } of [...entries, ...deps.rawRoutes]) this.#meters.set(name, deps.metrics.call(name, 'api'));
  }

  /** Answers every HTTP request that is not a socket handshake. Never throws. */
  handle(exchange: HttpExchange): void {
    const handled = this.#handle(exchange)
      .catch((error) => {
        this.#deps.log.error({ err: error, path: exchange.path }, 'request failed outside any method');
        this.#respond(exchange, errorAnswer(internal('Internal server error.')), true);
      })
      .finally(() => this.#inFlight.delete(handled));
    this.#inFlight.add(handled);
  }

  /** Resolves when every request in flight is answered, at the latest after `deadlineMs`. */
  async idle(deadlineMs: number): Promise<void> {
    await within(deadlineMs, Promise.all(this.#inFlight));
  }

  async #handle(exchange: HttpExchange): Promise<void> {
    const { method, path } = exchange;
    if (method === 'OPTIONS') {
      this.#respondToOptions(exchange);
      return;
    }
    const clean = cleanPath(path);
    if (clean !== path) {
      const query = exchange.query === '' ? '' : `?${exchange.query}`;
      // Browsers take a leading `/\` for the start of another host.
      const headers = [['Location', clean.replaceAll('\\', '%5C') + query]] as const;
      this.#respond(exchange, { status: 301, body: '', headers, contentType: '' }, false);
    } else if (path === '/' && method === 'GET') {
      this.#respond(exchange, { status: 200, body: '', contentType: '' }, false);
    } else if (path === '/ws' && method === 'GET') {
      this.#respond(exchange, this.#deps.refuseUpgrade(exchange), false);
    } else if (path === '/ready' && method === 'GET') {
      const ready = await this.#deps.isReady();
      this.#respond(exchange, jsonAnswer(ready ? 200 : 503, JSON.stringify({ ready })), true);
    } else {
      this.#respond(exchange, await this.#route(exchange), true);
    }
  }

  #respondToOptions(exchange: HttpExchange): void {
    const { headers } = exchange;
    if (headerValue(headers, 'origin') === undefined) {
      exchange.respond(200, this.#withStatic([]), '');
      return;
    }
    const answer = preflight(
      headerValue(headers, 'access-control-request-method'),
      headerValue(headers, 'access-control-request-headers'),
    );
    exchange.respond(answer.status, this.#withStatic(answer.headers), '');
  }

  async #route(exchange: HttpExchange): Promise<HttpAnswer> {
    const segments = pathSegments(exchange.path);
    if (segments === null) return textAnswer(400, '400 Bad Request');
    const match = this.#router.match(exchange.method, segments);
    if (match.kind === 'unknown') return errorAnswer(notFound('Not Found'));
    if (match.kind === 'wrong-method') return errorAnswer(new AppError(Code.UNIMPLEMENTED, 'Method Not Allowed'));
    const { target, variables } = match.route;
    const { values } = match;
    if (target.entry === null) return this.#callRaw(exchange, target.raw, values);
    return this.#callApi({ exchange, ...target, variables, values });
  }

  #callApi(request: ApiRequest): Promise<HttpAnswer> {
    const { exchange, entry, binding } = request;
    return this.#answer(entry.name, exchange, async (client, readBody) => {
      const body = binding.body === undefined ? null : await readBody();
      const response = await this.#deps.gateway.callApi({
        entry,
        request: decodeRequest(request, body),
        credentials: { authorization: headerValues(exchange.headers, 'authorization'), socket: null },
        clientAddress: client.address,
        clientPort: client.port,
      });
      return jsonAnswer(200, encodeJson(entry.type.response, response as AnyMessage));
    });
  }

  #callRaw(exchange: HttpExchange, { name, handle }: RawRoute, values: readonly string[]): Promise<HttpAnswer> {
    return this.#answer(name, exchange, async (_, readBody) => {
      const status = await handle({ values, readBody });
      if (status === 404) throw notFound('Not Found');
      return { status, body: '', contentType: '' };
    });
  }

  /** What the work comes to, failures included, within what the client's address may ask, and counted. */
  async #answer(
    name: string,
    exchange: HttpExchange,
    work: (client: ClientAddress, readBody: () => Promise<Buffer>) => Promise<HttpAnswer>,
  ): Promise<HttpAnswer> {
    const startedAt = performance.now();
    let receivedBytes = 0;
    let answer: HttpAnswer;
    let code: Code = Code.OK;
    const readBody = async (): Promise<Buffer> => {
      const body = await this.#readBody(exchange);
      receivedBytes = body.length;
      return body;
    };
    try {
      const forwarded = headerValues(exchange.headers, 'x-forwarded-for').join(',');
      const client = clientAddress(forwarded, exchange.peerAddress, exchange.peerPort, this.#proxyCount);
      this.#deps.gateway.limits.checkAddress(client.address);
      answer = await work(client, readBody);
      if (answer.status >= 500) code = Code.UNKNOWN;
    } catch (error) {
      const failure = this.#asAppError(error, name);
      code = failure.code;
      answer = { ...errorAnswer(failure), close: failure instanceof BodyTooLarge };
    }
    const seconds = (performance.now() - startedAt) / 1000;
    this.#meters.get(name)?.record(codeNames[code], seconds, receivedBytes, answer.body.length);
    return answer;
  }

  #asAppError(error: unknown, method: string): AppError {
    if (error instanceof AppError) return error;
    if (error instanceof WireDecodeError) return invalidArgument(error.message);
    // What handlers throw is logged by the gateway; this comes from decoding or encoding around them.
    this.#deps.log.error({ err: error, method }, 'request could not be decoded or its response not be encoded');
    return internal('Internal server error.', error);
  }

  async #readBody(exchange: HttpExchange): Promise<Buffer> {
    const limit = this.#maxBodyBytes;
    const raw = await exchange.readBody(limit);
    if (raw === 'too-large') throw new BodyTooLarge(Code.INVALID_ARGUMENT, 'http: request body too large');
    if (raw === 'aborted') throw new AppError(Code.CANCELED, 'client went away');
    const body = decompress(raw, headerValue(exchange.headers, 'content-encoding'), limit);
    if (body === 'broken') throw invalidArgument('body does not match its content encoding');
    if (body === 'too-large') {
      // How much larger stays unknown: unpacking stops at the limit.
      const text = `trying to send message larger than max (${limit + 1} vs. ${limit})`;
      throw new AppError(Code.RESOURCE_EXHAUSTED, text, { retry: 'no' });
    }
    return body;
  }

  /** @param isApi answers of the API carry cache and compression headers, `/` and `/ws` do not. */
  #respond(exchange: HttpExchange, answer: HttpAnswer, isApi: boolean): void {
    const contentType = answer.contentType ?? 'application/json';
    const headers: (readonly [string, string])[] = [...(answer.headers ?? [])];
    if (contentType !== '') headers.push(['Content-Type', contentType]);
    if (headerValue(exchange.headers, 'origin') !== undefined) headers.push(...corsHeaders);
    let body: string | Buffer = answer.body;
    if (isApi) {
      headers.push(['Cache-Control', 'no-store, no-cache, must-revalidate'], ['Vary', 'Accept-Encoding']);
      const encoding = chooseEncoding(headerValue(exchange.headers, 'accept-encoding'));
      if (encoding !== undefined && headerValue(exchange.headers, 'upgrade') === undefined) {
        headers.push(['Content-Encoding', encoding]);
        body = compress(answer.body, encoding);
      }
    }
    exchange.respond(answer.status, this.#withStatic(headers), body, answer.close);
  }

  /** Adds the configured headers, where the answer has none of that name. */
  #withStatic(own: HeaderList): HeaderList {
    if (this.#staticHeaders.length === 0) return own;
    const names = new Set(own.map(([name]) => name.toLowerCase()));
    return [...this.#staticHeaders.filter(([name]) => !names.has(name.toLowerCase())), ...own];
  }
}

class BodyTooLarge extends AppError {}

const apiBindings = (entry: ApiEntry): Binding<Target>[] =>
  entry.type.http.map((binding) => ({ verb: binding.verb, path: binding.path, target: { entry, binding } }));

const rawBinding = (raw: RawRoute): Binding<Target> => ({
  verb: anyVerb,
  path: raw.path,
  target: { entry: null, raw },
});

/** The request message from path, query and body, each as far as the binding reads it. */
function decodeRequest({ exchange, entry, binding, variables, values }: ApiRequest, body: Buffer | null): AnyMessage {
  const type = entry.type.request;
  const message =
    body !== null && binding.body === '*' && body.length > 0
      ? decodeJson(type, decodeUtf8(body), restMode)
      : new type.cls();
  const bodyField = binding.body === undefined || binding.body === '*' ? undefined : type.byName.get(binding.body);
  if (body !== null && bodyField !== undefined) {
    // An empty body is an empty message that is present.
    const text = body.length > 0 ? decodeUtf8(body) : '{}';
    message[bodyField.name] = decodeJsonField(bodyField, text, restMode);
  }
  if (binding.body !== '*') {
    const taken = new Set([...variables, ...(binding.body === undefined ? [] : [binding.body])]);
    const query = parseQuery(exchange.query);
    if (query === null) throw invalidArgument('malformed query string');
    for (const [name, texts] of query) {
      const field = type.byName.get(name.split(/[.[]/, 1)[0] ?? '');
      if (field !== undefined && !taken.has(field.name)) setFromText(message, type, name, texts);
    }
  }
  variables.forEach((name, index) => {
    setFromText(message, type, name, [values[index] ?? '']);
  });
  return message;
}
