import type { Logger } from 'pino';
import { FatalMessageError, type Gateway } from '../gateway/gateway.ts';
import { AppError, Code, codeNames, internal, invalidArgument, RealtimeCode } from '../platform/errors.ts';
import type { CallMeter, Metrics } from '../platform/metrics.ts';
import { WireDecodeError } from '../wire/decode-error.ts';
import { EnvelopeFrame, type Payload, payload } from '../wire/envelope.ts';
import { nakama } from '../wire/generated/messages.js';
import { ack, noReply } from '../wire/method.ts';
import type { AnyMessage, MessageType } from '../wire/types.ts';
import type { WsSession } from './ws-session.ts';

const { Retry } = nakama.realtime.CallResult;
const retries = { no: Retry.NO, safe: Retry.SAFE, unknown: Retry.UNKNOWN } as const;

/** Answers the envelopes of a socket: realtime messages, and API methods as `call`. */
export class SocketCalls {
  readonly #gateway: Gateway;
  readonly #log: Logger;
  readonly #meters = new Map<string, CallMeter>();

  constructor(gateway: Gateway, metrics: Metrics, log: Logger) {
    this.#gateway = gateway;
    this.#log = log;
    for (const { name } of gateway.registry.allApi()) this.#meters.set(name, metrics.call(name, 'socket'));
  }

  /**
   * Decodes one message and sends its answer. Throws WireDecodeError when it is malformed and FatalMessageError when
   * its failure, which was answered, also ends the socket.
   */
  async handle(session: WsSession, frame: Buffer): Promise<void> {
    const { cid, content } = session.codec.decode(frame);
    const answer = (reply: Payload | undefined): void => session.send(EnvelopeFrame.of(reply, cid));
    try {
      if (content === undefined) {
        throw new FatalMessageError(Code.INVALID_ARGUMENT, 'Missing message.', {
          realtimeCode: RealtimeCode.MISSING_PAYLOAD,
        });
      }
      const { name } = content.field;
      if (name === 'call') {
        answer(await this.#call(session, content.message as unknown as nakama.realtime.Call));
        return;
      }
      this.#gateway.limits.checkSession(session);
      const reply = await this.#gateway.callRealtime(session, name, content.message);
      if (reply !== noReply) answer(reply === ack ? undefined : reply);
    } catch (error) {
      const failure = this.#asAppError(error, session, content?.field.name ?? '');
      answer(payload('error', { code: failure.realtimeCode, message: failure.message }));
      if (failure instanceof FatalMessageError) throw failure;
    }
  }

  async #call(session: WsSession, call: nakama.realtime.Call): Promise<Payload> {
    const startedAt = performance.now();
    let sentBytes = 0;
    let code: Code = Code.OK;
    try {
      this.#gateway.limits.checkSession(session);
      this.#gateway.limits.checkAddress(session.clientAddress);
      const entry = this.#gateway.registry.api(call.method);
      if (entry === undefined) throw new AppError(Code.UNIMPLEMENTED, `Unknown method "${call.method.slice(0, 64)}".`);
      const response = await this.#gateway.callApi({
        entry,
        request: decodeRequest(session, entry.type.request, call.request),
        credentials: { authorization: call.authorization === '' ? [] : [call.authorization], socket: session },
        clientAddress: session.clientAddress,
        clientPort: session.clientPort,
      });
      const bytes = session.codec.encodeEmbedded(entry.type.response, response as AnyMessage);
      sentBytes = bytes.length;
      return payload('call_result', { response: bytes });
    } catch (error) {
      const failure = this.#asAppError(error, session, call.method);
      code = failure.code;
      return payload('call_result', { code, message: failure.message, retry: retries[failure.retry] });
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.#meters.get(call.method)?.record(codeNames[code], seconds, call.request.length, sentBytes);
    }
  }

  // The gateway has logged its own failures; what is left went wrong before or after it.
  #asAppError(error: unknown, session: WsSession, method: string): AppError {
    if (error instanceof AppError) return error;
    this.#log.error({ err: error, sid: session.id, method }, 'message could not be answered');
    return internal('Internal server error.', error);
  }
}

function decodeRequest(session: WsSession, type: MessageType, bytes: Uint8Array): AnyMessage {
  try {
    return session.codec.decodeEmbedded(type, bytes);
  } catch (error) {
    throw error instanceof WireDecodeError ? invalidArgument(error.message) : error;
  }
}
