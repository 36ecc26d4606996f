import type { Logger } from 'pino';
import { type Bus, controlTopic, type Subscription } from '../../cluster/bus.ts';
import { within } from '../../platform/within.ts';
import { type Init, muster } from '../../wire/generated/messages.js';

/** How long a caller waits for the others to be told of what SQL tells them as well. */
const tellWaitMs = 100;

/** What one node orders and all carry out, this one at once and whatever becomes of the bus. Doing it twice is harmless. */
export class Control {
  readonly #bus: Bus;
  readonly #log: Logger;
  readonly #handlers: ((frame: muster.cluster.ControlFrame) => void)[] = [];
  #subscription: Subscription | undefined;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  onFrame(handler: (frame: muster.cluster.ControlFrame) => void): void {
    this.#handlers.push(handler);
  }

  async start(): Promise<void> {
    const hear = (bytes: Uint8Array): void => this.#handle(muster.cluster.ControlFrame.decode(bytes));
    this.#subscription = await this.#bus.subscribe(controlTopic, hear);
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  /** Rejects as `Bus.publish` does when the others may not have heard. */
  async order(content: Init<muster.cluster.ControlFrame>): Promise<void> {
    const bytes = muster.cluster.ControlFrame.encode(content).finish();
    this.#handle(muster.cluster.ControlFrame.decode(bytes));
    await this.#bus.publish(controlTopic, bytes);
  }

  /** For what the others learn from SQL in any case: never rejects, and waits no longer than `tellWaitMs`. */
  async tell(content: Init<muster.cluster.ControlFrame>): Promise<void> {
    const { isWhole } = this.#bus;
    const told = this.order(content).catch((error) => {
      this.#log.warn({ err: error }, 'could not tell the other nodes');
    });
    if (isWhole) await within(tellWaitMs, told);
  }

  #handle(frame: muster.cluster.ControlFrame): void {
    for (const handler of this.#handlers) handler(frame);
  }
}
