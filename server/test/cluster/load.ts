import { type Player, request, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { sleep } from '../../testing/wait.ts';
import { Guest, type Place } from './support.ts';

/** One call and what became of it. */
export interface Attempt {
  readonly kind: string;
  /** By `performance.now()`. */
  readonly sentAt: number;
  readonly ms: number;
  /** Why it failed, if it did. */
  readonly error?: string;
}

/** A chat message that was acknowledged. */
interface Said {
  readonly guest: Guest;
  readonly text: string;
}

interface Shape {
  readonly rooms: number;
  /** In each room on each node; one of them speaks. */
  readonly residents: number;
}

/** Calls that have nothing to do with Redis. */
export const sqlKinds = ['storage write', 'storage read', 'account get', 'sign-in'] as const;
type SqlKind = (typeof sqlKinds)[number];

const speakEveryMs = 200;
const moveEveryMs = 300;
const callEveryMs = 50;

/** Calls that need only SQL, made to one node all the time. */
export class SqlLoad {
  readonly attempts: Attempt[] = [];
  readonly player: Player;
  /** The last acknowledged value by key. */
  readonly written = new Map<string, string>();
  readonly #place: Place;
  readonly #loops = new Loops();

  private constructor(place: Place, player: Player) {
    this.#place = place;
    this.player = player;
    // Most keys are new, one is written again and again.
    this.#loops.add(callEveryMs, async (n) => {
      for (const key of [`key-${n}`, 'key']) await this.#write(key, `{"n": ${n}}`);
    });
    this.#loops.add(callEveryMs, () => this.#call('account get', 'GET', '/v2/account'));
    this.#loops.add(callEveryMs, () => {
      const object_ids = [{ collection: 'load', key: 'key', user_id: player.id }];
      return this.#call('storage read', 'POST', '/v2/storage', { object_ids });
    });
    this.#loops.add(callEveryMs, () => this.#attempt('sign-in', () => signIn(place).then(() => undefined)));
  }

  static async start({ url }: Place): Promise<SqlLoad> {
    return new SqlLoad({ url }, await signIn({ url }));
  }

  /** Waits for what is in flight. Rejects if something went wrong that was not a server's answer. */
  stop(): Promise<void> {
    return this.#loops.stop();
  }

  async #write(key: string, value: string): Promise<void> {
    const body = { objects: [{ collection: 'load', key, value }] };
    const error = await this.#call('storage write', 'PUT', '/v2/storage', body);
    if (error === undefined) this.written.set(key, value);
  }

  #call(kind: SqlKind, method: string, path: string, body?: object): Promise<string | undefined> {
    return this.#attempt(kind, async () => {
      const { authorization } = this.player;
      const reply = await request(this.#place, method, path, { authorization, ...(body && { body }) });
      return reply.status === 200 ? undefined : `${reply.status} ${reply.text}`;
    });
  }

  #attempt(kind: SqlKind, operation: () => Promise<string | undefined>): Promise<string | undefined> {
    return attempt(this.attempts, kind, operation);
  }
}

/** Rooms over several nodes in which people talk, come and go; and calls that need only SQL, to each node. */
export class RoomLoad {
  readonly rooms: readonly string[];
  /** Those who stay in their rooms. */
  readonly residents: readonly Guest[];
  /** Those who come and go, too. */
  readonly guests: readonly Guest[];
  /** Acknowledged messages. */
  readonly said: Said[] = [];
  readonly #attempts: Attempt[] = [];
  readonly #sql: readonly SqlLoad[];
  readonly #loops = new Loops();

  private constructor(rooms: readonly string[], residents: Guest[], visitors: Guest[], sql: readonly SqlLoad[]) {
    this.rooms = rooms;
    this.residents = residents;
    this.guests = [...residents, ...visitors];
    this.#sql = sql;
    const speakers = new Map(residents.map((guest) => [`${guest.room} ${guest.node.url}`, guest]));
    for (const speaker of speakers.values()) this.#loops.add(speakEveryMs, (n) => this.#speak(speaker, n));
    for (const visitor of visitors) this.#loops.add(moveEveryMs, () => this.#move(visitor));
  }

  static async start(places: readonly Place[], shape: Shape): Promise<RoomLoad> {
    const rooms = Array.from({ length: shape.rooms }, () => unique('room'));
    const perPlace = Array.from({ length: shape.residents }, () => places).flat();
    const residents = rooms.flatMap((room) => perPlace.map((place) => Guest.enter(place, room)));
    const visitors = rooms.map((room, n) => Guest.arrive(places[n % places.length] as Place, room, 'protobuf'));
    return new RoomLoad(
      rooms,
      await Promise.all(residents),
      await Promise.all(visitors),
      await Promise.all(places.map((place) => SqlLoad.start(place))),
    );
  }

  /** The last acknowledged value by player and key. */
  get written(): Map<Player, Map<string, string>> {
    return new Map(this.#sql.map(({ player, written }) => [player, written]));
  }

  /** Attempts of a kind that overlap with the time. */
  during(kind: string, from = 0, to = Number.POSITIVE_INFINITY): Attempt[] {
    const all = [...this.#attempts, ...this.#sql.flatMap(({ attempts }) => attempts)];
    return all.filter((one) => one.kind === kind && one.sentAt < to && one.sentAt + one.ms > from);
  }

  /** Waits for what is in flight. Rejects if something went wrong that was not a server's answer. */
  async stop(): Promise<void> {
    await Promise.all([this.#loops, ...this.#sql].map((part) => part.stop()));
  }

  async close(): Promise<void> {
    await this.stop().catch(() => undefined);
    for (const guest of this.guests) guest.socket.ws.terminate();
  }

  async #speak(guest: Guest, n: number): Promise<void> {
    const text = `${guest.player.username} ${n}`;
    const say = async (): Promise<string | undefined> => (await guest.say(text)).error?.message;
    if ((await attempt(this.#attempts, 'message', say)) === undefined) this.said.push({ guest, text });
  }

  async #move(guest: Guest): Promise<void> {
    const { isIn } = guest;
    const move = async (): Promise<string | undefined> => (await (isIn ? guest.leave() : guest.join()))?.message;
    await attempt(this.#attempts, isIn ? 'leave' : 'join', move);
  }
}

/** Milliseconds, rounded. */
export const slowest = (attempts: readonly Attempt[]): number =>
  Math.round(Math.max(0, ...attempts.map(({ ms }) => ms)));

/** Milliseconds, rounded: half of them took longer. */
export function median(attempts: readonly Attempt[]): number {
  const sorted = attempts.map(({ ms }) => ms).sort((one, other) => one - other);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}

/** Answers the error, if any. */
async function attempt(
  attempts: Attempt[],
  kind: string,
  operation: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const sentAt = performance.now();
  const error = await operation();
  const ms = performance.now() - sentAt;
  attempts.push(error === undefined ? { kind, sentAt, ms } : { kind, sentAt, ms, error });
  return error;
}

/** Things that are done again and again. */
class Loops {
  readonly #running: Promise<void>[] = [];
  #isStopping = false;

  add(everyMs: number, operation: (n: number) => Promise<unknown>): void {
    const loop = async (): Promise<void> => {
      for (let n = 0; !this.#isStopping; n++) {
        await operation(n);
        await sleep(everyMs);
      }
    };
    const running = loop();
    // The failure is for `stop` to tell; until then nobody listens.
    running.catch(() => undefined);
    this.#running.push(running);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }
}
