import { bearer } from '../../testing/http.ts';
import type { Random } from '../../testing/random.ts';
import { sleep } from '../../testing/wait.ts';

/** One transfer as its client knows it. */
export interface Transfer {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly coins: number;
  readonly withObject: boolean;
  /** Failed: the only answer there ever was said so. Unknown: some attempt went unanswered, and none succeeded. */
  outcome: 'running' | 'ok' | 'failed' | 'unknown';
}

interface Answer {
  readonly kind: 'ok' | 'failed' | 'unknown';
  readonly text: string;
}

interface Options {
  readonly random: Random;
  /** Users with a wallet each. */
  readonly accounts: readonly string[];
  /** A session token that every node accepts. */
  readonly token: string;
  /** Of the nodes that are up, or are believed to be. */
  readonly urls: () => readonly string[];
  readonly pauseMs: number;
}

/** After this the client no longer waits for an answer. */
const answerTimeoutMs = 5000;
const maxAttempts = 30;
const retryPauseMs = 100;

/** Clients that move coins about, until stopped, and remember everything. */
export class BankClients {
  readonly history: Transfer[] = [];
  /** What should never happen: an answer that is neither success nor refusal nor "try again". */
  readonly surprises: string[] = [];
  /** Attempts that went unanswered or without a result, and repeats of what had succeeded. */
  unanswered = 0;
  repeats = 0;
  readonly #options: Options;
  #loops: Promise<void>[] = [];
  #isStopping = false;

  constructor(options: Options) {
    this.#options = options;
  }

  start(count: number): void {
    this.#loops = Array.from({ length: count }, () => this.#loop());
  }

  /** Waits for what is in flight. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
  }

  async #loop(): Promise<void> {
    const { random, accounts, pauseMs } = this.#options;
    while (!this.#isStopping) {
      const from = random.pick(accounts);
      const transfer: Transfer = {
        key: crypto.randomUUID(),
        from,
        to: random.pick(accounts.filter((id) => id !== from)),
        // Nobody has as much as the few ask for that are to be refused.
        coins: random.chance(0.03) ? 1_000_000 : 1 + random.below(5),
        withObject: random.chance(0.2),
        outcome: 'running',
      };
      this.history.push(transfer);
      await this.#transfer(transfer);
      await sleep(random.below(2 * pauseMs));
    }
  }

  async #transfer(transfer: Transfer): Promise<void> {
    const { random } = this.#options;
    // Some do not ask again: whether it happened stays open then.
    const attempts = random.chance(0.3) ? 1 : maxAttempts;
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const answer = await this.#ask(transfer);
      if (answer.kind === 'ok') {
        transfer.outcome = 'ok';
        if (random.chance(0.1)) await this.#repeat(transfer, answer);
        return;
      }
      // A refusal says nothing about attempts before it that may still be under way.
      if (answer.kind === 'failed' && attempt === 1) {
        transfer.outcome = 'failed';
        return;
      }
      this.unanswered++;
      await sleep(retryPauseMs);
    }
    transfer.outcome = 'unknown';
  }

  async #repeat(transfer: Transfer, first: Answer): Promise<void> {
    const again = await this.#ask(transfer);
    if (again.kind === 'unknown') return;
    this.repeats++;
    if (again.kind !== 'ok' || again.text !== first.text) {
      this.surprises.push(`${transfer.key} answered ${first.text}, then ${again.text}`);
    }
  }

  async #ask({ key, from, to, coins, withObject }: Transfer): Promise<Answer> {
    const { random, token, urls } = this.#options;
    const body = { key, from_id: from, to_id: to, coins, with_object: withObject };
    try {
      const reply = await fetch(`${random.pick(urls())}/v2/testing/transfer`, {
        method: 'POST',
        headers: { authorization: bearer(token) },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(answerTimeoutMs),
      });
      const text = await reply.text();
      if (reply.status === 200) return { kind: 'ok', text };
      if (text.includes('wallet update rejected negative value')) return { kind: 'failed', text };
      if (reply.status !== 503 && reply.status !== 504) this.surprises.push(`${key}: ${reply.status} ${text}`);
      return { kind: 'unknown', text };
    } catch (error) {
      return { kind: 'unknown', text: String(error) };
    }
  }
}
