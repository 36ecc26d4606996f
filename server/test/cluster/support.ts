import { type Player, request, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { type Envelope, type Format, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

/** A node as clients see it, wherever it runs. */
export type Place = Pick<TestNode, 'url'>;

export function startNode(name: string, databaseUrl: string, redisUrl: string): Promise<TestNode> {
  return startTestNode({ databaseUrl, config: { name, 'redis.url': redisUrl } });
}

/** Content is stored as JSON, which the database spells in its own way. */
const textOf = ({ content }: Envelope): string => JSON.parse(content).text;

const keyOf = ({ session_id, user_id }: Envelope): string => `${session_id}.${user_id}`;

/** Who is in a room as one client was told: by the answer to its join, and by every event since (invariant P2). */
export class PresenceLog {
  /** Joins of somebody present, and leaves of somebody absent. */
  readonly faults: string[] = [];
  /** User ids by presence; undefined while the client is not in the room. */
  #present: Map<string, string> | undefined;
  /** The last of what it was told. */
  history = '';

  /** Users, sorted. */
  get users(): string[] {
    return [...(this.#present?.values() ?? [])].sort();
  }

  enter(presences: readonly Envelope[]): void {
    this.#present = new Map(presences.map((presence) => [keyOf(presence), presence.user_id]));
  }

  exit(): void {
    this.#present = undefined;
  }

  hear({ joins = [], leaves = [] }: Envelope): void {
    if (this.#present === undefined) return;
    for (const leave of leaves) {
      this.#note(leave, 'left');
      if (!this.#present.delete(keyOf(leave))) this.#complain(leave, 'left without being there');
    }
    for (const join of joins) {
      this.#note(join, 'joined');
      if (this.#present.has(keyOf(join))) this.#complain(join, 'joined twice');
      this.#present.set(keyOf(join), join.user_id);
    }
  }

  #note({ username }: Envelope, what: string): void {
    this.history = `${this.history} ${username} ${what},`.slice(-500);
  }

  #complain({ username }: Envelope, what: string): void {
    this.faults.push(`${username} ${what} after${this.history}`);
  }
}

/** A player with a socket who is in one room, or not. */
export class Guest {
  readonly node: Place;
  readonly player: Player;
  readonly socket: TestSocket;
  readonly room: string;
  readonly presences = new PresenceLog();
  /** The room's messages, in the order in which they came. */
  readonly heard: string[] = [];
  /** Whether the server let it in, and it has not left since. */
  isIn = false;
  channelId = '';

  private constructor(node: Place, player: Player, socket: TestSocket, room: string) {
    this.node = node;
    this.player = player;
    this.socket = socket;
    this.room = room;
    // Behind the socket's own listener, which has just put the envelope there.
    socket.ws.on('message', () => this.#look());
  }

  static async arrive({ url }: Place, room: string, format: Format = 'json'): Promise<Guest> {
    const player = await signIn({ url });
    return new Guest({ url }, player, await TestSocket.connect({ url }, player.token, { format }), room);
  }

  /** Arrives, and joins the room. */
  static async enter(node: Place, room: string, format?: Format): Promise<Guest> {
    const guest = await Guest.arrive(node, room, format);
    const error = await guest.join();
    if (error !== undefined) throw new Error(`could not join ${room}: ${JSON.stringify(error)}`);
    return guest;
  }

  /** Answers the error, if any. */
  async join(): Promise<Envelope | undefined> {
    return (await this.#askToJoin()).error;
  }

  /** Answers the error, if any. */
  async leave(): Promise<Envelope | undefined> {
    this.isIn = false;
    this.presences.exit();
    return (await this.socket.request({ channel_leave: { channel_id: this.channelId } })).error;
  }

  /** Hangs up. */
  async quit(): Promise<void> {
    this.isIn = false;
    this.presences.exit();
    await this.socket.close();
  }

  say(text: string): Promise<Envelope> {
    const content = JSON.stringify({ text });
    return this.socket.request({ channel_message_send: { channel_id: this.channelId, content } });
  }

  /** The users in the room as the guest's node lists them, sorted; undefined when it cannot. */
  async list(): Promise<string[] | undefined> {
    const { channel } = await this.#askToJoin();
    return (channel?.presences as Envelope[] | undefined)?.map((presence) => presence.user_id as string).sort();
  }

  #askToJoin(): Promise<Envelope> {
    return this.socket.request({ channel_join: { target: this.room, type: 1, persistence: true } });
  }

  #look(): void {
    const { received } = this.socket;
    const { channel, channel_message: message, channel_presence_event: event } = received.at(-1);
    if (channel !== undefined && !this.isIn) {
      this.isIn = true;
      this.channelId = channel.id;
      this.presences.enter([...(channel.presences ?? []), channel.self]);
    }
    if (event !== undefined) this.presences.hear(event);
    if (message !== undefined) this.heard.push(textOf(message));
    if (event !== undefined || message !== undefined) received.pop();
  }
}

/**
 * Waits until every node that has guests in a room lists exactly those who are in it, and everybody in it has been told
 * the same.
 */
export async function waitForAgreement(guests: readonly Guest[], deadlineMs: number): Promise<void> {
  await Promise.all(
    rooms(guests).map(async ({ room, inside, onePerNode }) => {
      const expected = inside.map((guest) => guest.player.id).sort();
      const isRight = (users: readonly string[] | undefined): boolean => `${users}` === `${expected}`;
      let seen: unknown;
      const agree = async (): Promise<boolean> => {
        const lists = await Promise.all(onePerNode.map((guest) => guest.list()));
        const misled = inside.filter((guest) => !isRight(guest.presences.users));
        seen = {
          lists: lists.filter((list) => !isRight(list)),
          told: misled.map(
            ({ player, presences }) => `${player.username}: ${presences.users} after${presences.history}`,
          ),
        };
        return lists.every(isRight) && misled.length === 0;
      };
      await waitFor(`all to agree on who is in ${room}`, agree, deadlineMs).catch((error) => {
        throw new Error(`${error.message}: should be ${expected}, is ${JSON.stringify(seen)}`);
      });
    }),
  );
}

/** Speaks in each room on each node, until everybody in the room hears it. */
export async function waitForMessages(guests: readonly Guest[], deadlineMs: number): Promise<void> {
  await Promise.all(
    rooms(guests).flatMap(({ room, inside, onePerNode }) =>
      onePerNode.map((speaker) => {
        const speak = async (): Promise<boolean> => {
          const text = unique('marker');
          if ((await speaker.say(text)).error !== undefined) return false;
          const isHeard = (): boolean => inside.every((guest) => guest.heard.includes(text));
          return waitFor('everybody to hear it', isHeard, 500).catch(() => false);
        };
        return waitFor(`a message to get from ${speaker.node.url} to everybody in ${room}`, speak, deadlineMs);
      }),
    ),
  );
}

function rooms(guests: readonly Guest[]): { room: string; inside: Guest[]; onePerNode: Guest[] }[] {
  return [...new Set(guests.map((guest) => guest.room))].map((room) => {
    const inside = guests.filter((guest) => guest.room === room && guest.isIn);
    const onePerNode = [...new Map(inside.map((guest) => [guest.node.url, guest])).values()];
    return { room, inside, onePerNode };
  });
}

/** The room's stored messages, oldest first. */
export async function history({ node, player, channelId }: Guest): Promise<string[]> {
  const texts: string[] = [];
  for (let cursor = ''; ; ) {
    const query = new URLSearchParams({ limit: '100', forward: 'true', ...(cursor === '' ? {} : { cursor }) });
    const reply = await request(node, 'GET', `/v2/channel/${encodeURIComponent(channelId)}?${query}`, player);
    const { messages = [], next_cursor: next = '' } = reply.body;
    texts.push(...messages.map(textOf));
    if (next === '') return texts;
    cursor = next;
  }
}
