import type { ProcessNode } from '../server/testing/process-node.ts';
import { formats } from '../server/testing/socket.ts';
import { payload } from '../server/wire/envelope.ts';
import type { Measures } from './churn-gauges.ts';
import { ChurnSocket } from './churn-socket.ts';
import { type ChurnUser, tokenOf } from './churn-users.ts';
import { joinOf, rooms } from './churn-visit.ts';

interface WirePresence {
  readonly session_id: string;
}

/** Every so many rooms have residents. */
const roomStep = 5;
/** They follow some of the first users only: the streams of the others come and go. */
const followed = 50;
const follows = 25;

/**
 * Listeners who stay all the time, on both nodes: what they are told of comings and goings must add up, and the streams
 * they keep alive must not grow.
 */
export class Residents {
  readonly #sockets: ChurnSocket[] = [];
  /** By socket: who it has been told is there, in its room or online. */
  readonly #present: Set<string>[] = [];
  /** Joins of those who were there, and leaves of those who were not. */
  #oddities = 0;

  static async settle(nodes: readonly ProcessNode[], users: readonly ChurnUser[]): Promise<Residents> {
    const residents = new Residents();
    for (let room = 0; room < rooms; room += roomStep) {
      for (const node of nodes) await residents.#settle(node, room, users);
    }
    return residents;
  }

  get count(): number {
    return this.#sockets.length;
  }

  measures(): Measures {
    return new Map([
      ['presences that residents see', this.#present.reduce((sum, { size }) => sum + size, 0)],
      ['joins of those present, leaves of those absent', this.#oddities],
      ['residents disconnected', this.#sockets.filter((socket) => socket.closed !== undefined).length],
    ]);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  async #settle(node: ProcessNode, room: number, users: readonly ChurnUser[]): Promise<void> {
    const user = users[this.#sockets.length % users.length] as ChurnUser;
    const format = formats[this.#sockets.length % formats.length] ?? 'json';
    const socket = new ChurnSocket(node.port, await tokenOf(user, node), { format, status: false });
    await socket.opened();
    const present = new Set<string>();
    socket.onMessage = (name, message) => {
      if (name === 'channel_presence_event') this.#hear(present, 'room', message);
      if (name === 'status_presence_event') this.#hear(present, 'online', message);
    };
    this.#sockets.push(socket);
    this.#present.push(present);
    // Nobody else comes or goes yet, so the lists that are answered are complete.
    const { self, presences } = await socket.request(joinOf(room));
    for (const { session_id } of [self, ...(presences ?? [])] as WirePresence[]) present.add(`room ${session_id}`);
    const ids = Array.from({ length: follows }, (_, n) => (users[(n * 7 + room) % followed] as ChurnUser).id);
    await socket.request(payload('status_follow', { user_ids: ids }));
  }

  #hear(present: Set<string>, where: string, event: { joins?: WirePresence[]; leaves?: WirePresence[] }): void {
    for (const { session_id } of event.leaves ?? []) {
      if (!present.delete(`${where} ${session_id}`)) this.#oddities++;
    }
    for (const { session_id } of event.joins ?? []) {
      if (present.has(`${where} ${session_id}`)) this.#oddities++;
      present.add(`${where} ${session_id}`);
    }
  }
}
