import { expect } from 'vitest';
import type { Doorway } from '../../testing/door-suite.ts';
import type { Player } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';

/** What one player does and sees, through whichever door. */
export class FriendClient {
  readonly player: Player;
  readonly #doorway: Pick<Doorway, 'ok' | 'call'>;

  constructor(doorway: Pick<Doorway, 'ok' | 'call'>, player: Player) {
    this.#doorway = doorway;
    this.player = player;
  }

  get id(): string {
    return this.player.id;
  }

  get username(): string {
    return this.player.username;
  }

  add(...others: { id: string }[]): Promise<Envelope> {
    return this.#ok('AddFriends', { ids: others.map(({ id }) => id) });
  }

  delete(...others: { id: string }[]): Promise<Envelope> {
    return this.#ok('DeleteFriends', { ids: others.map(({ id }) => id) });
  }

  block(...others: { id: string }[]): Promise<Envelope> {
    return this.#ok('BlockFriends', { ids: others.map(({ id }) => id) });
  }

  async list(query: object = {}): Promise<Envelope> {
    const page = await this.#ok('ListFriends', query);
    return { friends: page.friends ?? [], cursor: page.cursor };
  }

  /** The state towards each user in the list, by id. */
  async states(): Promise<Record<string, number>> {
    const { friends } = await this.list();
    return Object.fromEntries(friends.map(({ user, state }: Envelope) => [user.id, state]));
  }

  async edgeCount(): Promise<number> {
    return (await this.#ok('GetAccount')).user.edge_count ?? 0;
  }

  /** What the server has told the player, oldest first. */
  async notifications(): Promise<Envelope[]> {
    return (await this.#ok('ListNotifications', { limit: 100 })).notifications ?? [];
  }

  async codes(): Promise<number[]> {
    return (await this.notifications()).map(({ code }) => code);
  }

  /** The call has to fail like this. */
  async refused(method: string, message: object, code: number, text: string): Promise<void> {
    const outcome = await this.#doorway.call(method, this.player.authorization, message);
    expect({ code: outcome.code, message: outcome.message }).toEqual({ code, message: text });
  }

  #ok(method: string, message?: object): Promise<Envelope> {
    return this.#doorway.ok(method, this.player.authorization, message);
  }
}
