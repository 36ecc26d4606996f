import type { Logger } from 'pino';
import { type Bus, controlTopic, type Subscription } from '../../cluster/bus.ts';
import { CloseReasons } from '../../platform/errors.ts';
import { EnvelopeFrame } from '../../wire/envelope.ts';
import { type Init, muster } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';

/** The sockets of this node, and the way to end sockets of any node. */
export class Sockets {
  readonly #bus: Bus;
  readonly #log: Logger;
  readonly #byId = new Map<string, SocketSession>();
  readonly #byUser = new Map<string, Set<SocketSession>>();
  #subscription: Subscription | undefined;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  async start(): Promise<void> {
    this.#subscription = await this.#bus.subscribe(controlTopic, (frame) => this.#onControl(frame));
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  get count(): number {
    return this.#byId.size;
  }

  add(session: SocketSession): void {
    this.#byId.set(session.id, session);
    const sessions = this.#byUser.get(session.user.id);
    if (sessions === undefined) this.#byUser.set(session.user.id, new Set([session]));
    else sessions.add(session);
  }

  remove(session: SocketSession): void {
    this.#byId.delete(session.id);
    const sessions = this.#byUser.get(session.user.id);
    if (sessions?.delete(session) && sessions.size === 0) this.#byUser.delete(session.user.id);
  }

  /** A socket of this node. */
  get(sessionId: string): SocketSession | undefined {
    return this.#byId.get(sessionId);
  }

  /** All sockets of this node. */
  all(): Iterable<SocketSession> {
    return this.#byId.values();
  }

  /** The user's sockets on this node. */
  ofUser(userId: string): ReadonlySet<SocketSession> {
    return this.#byUser.get(userId) ?? noSockets;
  }

  /** Ends all sockets of the user, on every node. `last` is each socket's final message. */
  async disconnectUser(userId: string, last?: EnvelopeFrame): Promise<void> {
    await this.#order({ user_id: userId, last_envelope: last?.protobuf });
  }

  /** Ends one socket, wherever it is; an unknown id is a no-op. */
  async disconnectSession(sessionId: string): Promise<void> {
    await this.#order({ session_id: sessionId });
  }

  /**
   * Ends the user's sockets that opened before this one, on every node. The order of sockets is total (time, then
   * id), so of any two simultaneous ones exactly one survives.
   */
  async disconnectOlder(session: SocketSession, last: EnvelopeFrame): Promise<void> {
    await this.#order({ user_id: session.user.id, before: openOrder(session), last_envelope: last.protobuf });
  }

  async #order(disconnect: Init<muster.cluster.DisconnectSessions>): Promise<void> {
    await this.#bus.publish(controlTopic, muster.cluster.ControlFrame.encode({ disconnect }).finish());
  }

  #onControl(bytes: Uint8Array): void {
    const { disconnect } = muster.cluster.ControlFrame.decode(bytes);
    if (disconnect === null) return;
    if (disconnect.before !== '') this.#answerOlder(disconnect);
    const last = disconnect.last_envelope.length > 0 ? EnvelopeFrame.fromBytes(disconnect.last_envelope) : undefined;
    for (const session of this.#targets(disconnect)) {
      this.#log.debug({ sid: session.id, uid: session.user.id }, 'disconnecting socket on order');
      session.close(CloseReasons.disconnected, last);
    }
  }

  // The one who gave the order may itself be older than a socket that was not here, or not known there, at the time.
  #answerOlder(order: muster.cluster.DisconnectSessions): void {
    const newest = [...(this.#byUser.get(order.user_id) ?? [])].map(openOrder).sort().at(-1);
    if (newest === undefined || newest <= order.before) return;
    this.#order({ ...order, before: newest }).catch((error) => {
      this.#log.warn({ err: error, uid: order.user_id }, 'could not disconnect an older socket');
    });
  }

  #targets(order: muster.cluster.DisconnectSessions): SocketSession[] {
    if (order.session_id !== '') {
      const session = this.#byId.get(order.session_id);
      return session ? [session] : [];
    }
    const sessions = [...(this.#byUser.get(order.user_id) ?? [])];
    return order.before === '' ? sessions : sessions.filter((session) => openOrder(session) < order.before);
  }
}

const noSockets: ReadonlySet<SocketSession> = new Set();

/** Sorts sockets by opening time as text. */
function openOrder(session: SocketSession): string {
  return `${String(session.connectedAt).padStart(15, '0')}.${session.id}`;
}
