import type { Logger } from 'pino';
import type { Clock } from '../../../platform/clock.ts';
import { unavailable } from '../../../platform/errors.ts';
import { type Outbound, OutboundError, type OutboundReply, type OutboundRequest } from '../../../platform/outbound.ts';
import { refusal, Unauthorized } from '../refusals.ts';
import { type Fields, parseFields } from './json.ts';

export type Party = 'Apple' | 'Google' | 'Huawei' | 'Samsung';

/** What a store answered: a JSON object. */
export interface Answer {
  readonly text: string;
  readonly fields: Fields;
}

export interface StoreRequest extends Pick<OutboundRequest, 'url' | 'form' | 'json' | 'headers'> {
  /** Of `StoreCalls.deadline`. */
  readonly deadline: number;
}

interface Dependencies {
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** How much of a store's complaint is passed on, in characters. */
const maxPayload = 1024;

/** HTTP to the stores. A store that cannot be reached in time is UNAVAILABLE: the client may try again. */
export class StoreCalls {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** For a validation that begins now: when its last call has to be over. */
  deadline(): number {
    return this.#deps.clock.monotonic() + this.#deps.timeoutMs;
  }

  /** The answer, of whatever status. */
  async call(party: Party, request: StoreRequest): Promise<OutboundReply> {
    try {
      return await this.#deps.outbound.call({ ...request, party: `${party.toLowerCase()}_iap` });
    } catch (error) {
      if (!(error instanceof OutboundError)) throw error;
      this.#deps.log.warn({ err: error, store: party }, 'store gave no answer');
      if (error.reason === 'too large') throw refusal(`response from ${party} service is too large`, error);
      throw unavailable(`${party} IAP verification is currently unavailable. Try again later.`, error);
    }
  }

  /** The answer of a store that has no other than a JSON object with status 200. Throws Unauthorized. */
  async json(party: Party, request: StoreRequest): Promise<Answer> {
    const { status, body } = await this.call(party, request);
    const text = body.toString('utf8');
    if (status !== 200) {
      this.#deps.log.warn({ store: party, status }, 'store answered with an error');
      const payload = text.slice(0, maxPayload);
      const message = `non-200 response from ${party} service, status=${status}, payload=${payload}`;
      throw status === 401 ? new Unauthorized(message) : refusal(message);
    }
    const fields = parseFields(text);
    if (fields === null) throw refusal(`response from ${party} service is no JSON object`);
    return { text, fields };
  }
}
