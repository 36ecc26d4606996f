import { Counter, Trend } from 'k6/metrics';
import { now, sleep } from './clock.js';
import { ROOM } from './envelope.js';
import { serverOf, signInAll } from './players.js';
import { Refusal, Socket } from './socket.js';

const drainMs = 5_000;
const drainCheckMs = 20;
const text = 'x'.repeat(80);

/** What rooms measure; to be called once, in the init code of a scenario. */
export function roomMetrics() {
  return {
    connect: new Trend('connect', true),
    join: new Trend('join', true),
    ack: new Trend('ack', true),
    delivery: new Trend('delivery', true),
    leave: new Trend('leave', true),
    lag: new Trend('generator_lag', true),
    sent: new Counter('sent'),
    failed: new Counter('failed'),
    delivered: new Counter('delivered'),
    duplicated: new Counter('duplicated'),
    lost: new Counter('lost'),
  };
}

/** Names of these, for the report. */
export const roomTrends = ['connect', 'join', 'ack', 'delivery', 'leave', 'generator_lag'];
export const roomCounts = ['sent', 'delivered', 'lost', 'duplicated', 'failed'];

export const roomThresholds = {
  lost: ['count==0'],
  duplicated: ['count==0'],
  failed: ['count==0'],
  delivery: ['p(95)<500'],
};

/**
 * A channel with its members, a chat room unless they say otherwise, all in one virtual user of k6: so it knows what was sent and who has to get it, and
 * sees every lost delivery. The members' servers take turns, so that a room spans all of them.
 */
export class Room {
  #name;
  #players;
  #isStored;
  #metrics;
  #joinsOf;
  #members = [];
  #channelId = '';
  /** What was sent, by the number in the content: when, and who has it. Without what the server refused. */
  #sent = new Map();
  #lastNumber = 0;
  #hasComplained = false;

  /**
   * @param {number[]} players numbers of its members
   * @param {ReturnType<typeof roomMetrics>} metrics
   * @param {(tokens: string[]) => { target: string, type: number }[]} joinsOf which channel each member asks for
   */
  constructor(
    name,
    players,
    isStored,
    metrics,
    joinsOf = (tokens) => tokens.map(() => ({ target: name, type: ROOM })),
  ) {
    this.#name = name;
    this.#players = players;
    this.#isStored = isStored;
    this.#metrics = metrics;
    this.#joinsOf = joinsOf;
  }

  /** Signs everybody in, connects them and has them join. Rejects when one of them fails. */
  async fill() {
    const tokens = signInAll(this.#players);
    await all(this.#players.map((player, place) => this.#connect(player, tokens[place], place)));
    const joins = this.#joinsOf(tokens).map((join) => ({ ...join, persistence: { value: this.#isStored } }));
    const answers = await all(
      this.#members.map(({ socket, place }) => {
        return timed(this.#metrics.join, socket.request({ channel_join: joins[place] }));
      }),
    );
    this.#channelId = answers[0].channel.id;
  }

  async #connect(player, token, place) {
    const member = { place };
    const onEnvelope = ({ channel_message: message }) => {
      if (message !== undefined) this.#receive(member, message);
    };
    member.socket = await timed(this.#metrics.connect, Socket.open(serverOf(player), token, onEnvelope));
    this.#members.push(member);
  }

  /** Has every member write at this rate, evenly spread over time, and waits until all has arrived, or five seconds. */
  async talk(messagesPerSec, durationSec) {
    const periodMs = 1000 / messagesPerSec;
    const count = Math.max(1, Math.round(messagesPerSec * durationSec));
    const startMs = now();
    const writers = this.#members.map((member, index) => {
      const offsetMs = (periodMs * index) / this.#members.length;
      return this.#write(member, startMs + offsetMs, periodMs, count);
    });
    await Promise.all(writers);
    const endMs = now() + drainMs;
    while (this.#missing > 0 && now() < endMs) await sleep(drainCheckMs);
    this.#metrics.lost.add(this.#missing);
    this.#metrics.delivered.add(this.#sent.size * this.#members.length - this.#missing);
  }

  /** Everybody leaves, then disconnects. Rejects when the server does not answer either, or had closed a socket. */
  async empty() {
    const open = this.#members.filter(({ socket }) => socket.isOpen);
    const leave = { channel_leave: { channel_id: this.#channelId } };
    await all(open.map(({ socket }) => timed(this.#metrics.leave, socket.request(leave))));
    await this.disconnect();
    const closed = this.#members.length - open.length;
    if (closed > 0) throw new Error(`${closed} sockets were closed while they were in use`);
  }

  /** Closes the sockets that are still open. */
  async disconnect() {
    await all(this.#members.map(({ socket }) => (socket.isOpen ? socket.close() : undefined)));
  }

  get #missing() {
    let missing = 0;
    for (const { receivers } of this.#sent.values()) missing += this.#members.length - receivers.size;
    return missing;
  }

  // Each message has its time, however late the one before it was: the load stays the same when the server is slow.
  async #write(member, firstMs, periodMs, count) {
    const answers = [];
    for (let index = 0; index < count; index++) {
      const dueMs = firstMs + index * periodMs;
      await sleep(dueMs - now());
      this.#metrics.lag.add(now() - dueMs);
      if (!member.socket.isOpen) break;
      answers.push(this.#send(member));
    }
    await Promise.all(answers);
  }

  async #send(member) {
    const number = ++this.#lastNumber;
    const content = JSON.stringify({ number, text });
    this.#sent.set(number, { atMs: now(), receivers: new Set() });
    this.#metrics.sent.add(1);
    try {
      const message = { channel_id: this.#channelId, content };
      await timed(this.#metrics.ack, member.socket.request({ channel_message_send: message }));
    } catch (error) {
      this.#metrics.failed.add(1);
      // What got no answer may have been delivered all the same.
      if (error instanceof Refusal) this.#sent.delete(number);
      this.#complain(error);
    }
  }

  // Only once: what ails a room ails all its messages.
  #complain(error) {
    if (!this.#hasComplained) console.error(`room ${this.#name}: ${error.message}`);
    this.#hasComplained = true;
  }

  #receive(member, { content }) {
    const message = this.#sent.get(JSON.parse(content).number);
    if (message === undefined || message.receivers.has(member)) {
      this.#metrics.duplicated.add(1);
      return;
    }
    message.receivers.add(member);
    this.#metrics.delivery.add(now() - message.atMs);
  }
}

/** As Promise.all, but lets every promise come to its end first, so that nothing goes on behind a failure. */
async function all(promises) {
  const results = await Promise.allSettled(promises);
  for (const { status, reason } of results) {
    if (status === 'rejected') throw reason;
  }
  return results.map(({ value }) => value);
}

/** What the promise answers; how long it took goes to the trend. */
async function timed(trend, promise) {
  const startMs = now();
  const answer = await promise;
  trend.add(now() - startMs);
  return answer;
}
