import type { Logger } from 'pino';
import { CloseReasons } from '../../platform/errors.ts';
import { SmallSet } from '../../platform/small.ts';
import { EnvelopeFrame } from '../../wire/envelope.ts';
import type { muster } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import type { Control } from './control.ts';

/** The sockets of this node, and the way to end sockets of any node. */
export class Sockets {
  readonly #control: Control;
  readonly #log: Logger;
  readonly #byId = new Map<string, SocketSession>();
  readonly #byUser = new Map<string, SmallSet<SocketSession>>();

  constructor(control: Control, log: Logger) {
    this.#control = control;
    this.#log = log;
    control.onFrame((frame) => this.#onControl(frame));
  }

  get count(): number {
    return this.#byId.size;
  }

  add(session: SocketSession): void {
    this.#byId.set(session.id, session);
    const sessions = this.#byUser.get(session.user.id);
    if (sessions === undefined) this.#byUser.set(session.user.id, new SmallSet<SocketSession>().add(session));
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
  ofUser(userId: string): Iterable<SocketSession> & { readonly size: number } {
    return this.#byUser.get(userId) ?? noSockets;
  }

  /** Ends the user's sockets on this node. `last` is each socket's final message. */
  closeUser(userId: string, last?: EnvelopeFrame): void {
    this.#close([...this.ofUser(userId)], last);
  }

  /**
   * Ends all sockets of a user who was banned or removed, on every node, those of this one at once. Never rejects: nodes
   * that do not hear of it see it in SQL.
   */
  async disconnectUser(userId: string, last?: EnvelopeFrame): Promise<void> {
    await this.#control.tell({ disconnect: { user_id: userId, last_envelope: last?.protobuf } });
  }

  /** Ends one socket, wherever it is; an unknown id is a no-op. Rejects when other nodes may not have heard of it. */
  async disconnectSession(sessionId: string): Promise<void> {
    await this.#control.order({ disconnect: { session_id: sessionId } });
  }

  /**
   * Ends the user's sockets that opened before this one, on every node. The order of sockets is total (time, then
   * id), so of any two simultaneous ones exactly one survives. Rejects when other nodes may not have heard of it.
   */
  async disconnectOlder(session: SocketSession, last: EnvelopeFrame): Promise<void> {
    const before = openOrder(session);
    await this.#control.order({ disconnect: { user_id: session.user.id, before, last_envelope: last.protobuf } });
  }

  #onControl({ disconnect }: muster.cluster.ControlFrame): void {
    if (disconnect === null) return;
    if (disconnect.before !== '') this.#answerOlder(disconnect);
    const last = disconnect.last_envelope.length > 0 ? EnvelopeFrame.fromBytes(disconnect.last_envelope) : undefined;
    this.#close(this.#targets(disconnect), last);
  }

  #close(sessions: readonly SocketSession[], last?: EnvelopeFrame): void {
    for (const session of sessions) {
      this.#log.debug({ sid: session.id, uid: session.user.id }, 'disconnecting socket on order');
      session.close(CloseReasons.disconnected, last);
    }
  }

  // The one who gave the order may itself be older than a socket that was not here, or not known there, at the time.
  #answerOlder(order: muster.cluster.DisconnectSessions): void {
    const newest = [...(this.#byUser.get(order.user_id) ?? [])].map(openOrder).sort().at(-1);
    if (newest === undefined || newest <= order.before) return;
    this.#control.order({ disconnect: { ...order, before: newest } }).catch((error) => {
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
