import type { Bus, Subscription } from '../../cluster/bus.ts';
import type { Clock } from '../../platform/clock.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import { muster } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import type { Sockets } from '../sessions/index.ts';
import { type Notice, toLive } from './wire.ts';

const topic = 'notifications';

/** One notification for many users at once: a frame per page of users to every node, instead of one per user. */
export class Broadcast {
  readonly #bus: Bus;
  readonly #sockets: Sockets;
  readonly #clock: Clock;
  #subscription: Subscription | undefined;

  constructor(bus: Bus, sockets: Sockets, clock: Clock) {
    this.#bus = bus;
    this.#sockets = sockets;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#subscription = await this.#bus.subscribe(topic, (frame) => this.#onFrame(frame));
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  /**
   * Delivers to the open sockets of these users, on every node; to all sockets when no users are given.
   * @param ids one for each user, or a single one.
   */
  async publish(notice: Notice, userIds: readonly string[], ids: readonly string[]): Promise<void> {
    const { subject, content, code, senderId, persistent } = notice;
    const createTime = Math.floor(this.#clock.now() / 1000);
    const frame = { subject, content, code, sender_id: senderId, persistent, create_time: createTime };
    const bytes = muster.cluster.NotificationBroadcast.encode({ ...frame, user_ids: [...userIds], ids: [...ids] });
    await this.#bus.publish(topic, bytes.finish());
  }

  #onFrame(bytes: Uint8Array): void {
    const frame = muster.cluster.NotificationBroadcast.decode(bytes);
    if (frame.user_ids.length === 0) deliver(this.#sockets.all(), frame, frame.ids[0] ?? '');
    for (const [index, userId] of frame.user_ids.entries()) {
      const sockets = this.#sockets.ofUser(userId);
      if (sockets.size > 0) deliver(sockets, frame, frame.ids[index] ?? '');
    }
  }
}

function deliver(sockets: Iterable<SocketSession>, frame: muster.cluster.NotificationBroadcast, id: string): void {
  const { sender_id: senderId, create_time: createTime, ...notice } = frame;
  const notification = toLive({ ...notice, senderId }, id, Number(createTime));
  const envelope = EnvelopeFrame.of(payload('notifications', { notifications: [notification] }));
  for (const socket of sockets) socket.send(envelope);
}
