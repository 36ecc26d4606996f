import { signIn } from '../../testing/http.ts';
import type { ProcessNode } from '../../testing/process-node.ts';
import { type Format, TestSocket } from '../../testing/socket.ts';
import { sleep } from '../../testing/wait.ts';

const everyMs = 20;

/** An honest client that goes on playing while others attack: it chats in a room, and every message must come back. */
export class Witness {
  readonly #node: ProcessNode;
  readonly #socket: TestSocket;
  readonly #channelId: string;
  readonly #roundTrips: number[] = [];
  #isRunning = true;
  readonly #running: Promise<void>;

  private constructor(node: ProcessNode, socket: TestSocket, channelId: string) {
    this.#node = node;
    this.#socket = socket;
    this.#channelId = channelId;
    this.#running = this.#run();
  }

  static async start(node: ProcessNode, format: Format): Promise<Witness> {
    const player = await signIn(node);
    const socket = await TestSocket.connect(node, player.token, { format });
    const { channel } = await socket.request({
      channel_join: { target: `witness-${player.id}`, type: 1, persistence: false },
    });
    return new Witness(node, socket, channel.id);
  }

  /** Stops; answers round trips and the server's event-loop lag as text. Rejects if anything went unanswered. */
  async finish(): Promise<string> {
    this.#isRunning = false;
    await this.#running;
    await this.#socket.close();
    const sorted = this.#roundTrips.toSorted((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(1);
    const lag = await this.#node.metric('nakama_event_loop_lag_seconds', 'quantile="1"');
    return `${sorted.length} messages, p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms, loop lag max ${(lag * 1000).toFixed(1)} ms`;
  }

  async #run(): Promise<void> {
    for (let n = 0; this.#isRunning; n++) {
      const startedAt = performance.now();
      const content = JSON.stringify({ n });
      await this.#socket.request({ channel_message_send: { channel_id: this.#channelId, content } });
      await this.#socket.take(`message ${n}`, (envelope) => envelope.channel_message?.content === content);
      this.#roundTrips.push(performance.now() - startedAt);
      await sleep(everyMs);
    }
  }
}
