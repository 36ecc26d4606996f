import type { Presence } from '../../cluster/presence.ts';
import { makeStream, type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { encodeEnvelope } from '../../cluster/stream-frame.ts';
import { checkEqual, type Model, type Outcome, type StreamLog, show, showAll } from './presence-check.ts';
import type { PresenceCluster, PresenceNode } from './presence-cluster.ts';
import { at, type Random } from './support.ts';

export const streams: readonly Stream[] = [
  makeStream(2, '', '', 'lobby.eu'),
  makeStream(3, '11111111-1111-4111-8111-111111111111'),
  makeStream(0, '22222222-2222-4222-8222-222222222222'),
];
const users = ['ann', 'bob', 'cid', 'dan'];

export interface Operation {
  readonly text: string;
  readonly issuer: number;
  /** Whether it can change that presence. */
  touches(presence: Presence): boolean;
  run(): Promise<unknown>;
  /** Applies it to the model. */
  expect(): Outcome;
}

interface Session {
  readonly id: string;
  readonly node: number;
  open: boolean;
}

interface Failure {
  readonly failed: string;
}

/** The result of an operation whose session is not open. */
export const refused: Failure = { failed: 'refused' };

export const isFailure = (result: unknown): result is Failure =>
  typeof result === 'object' && result !== null && 'failed' in result;

export const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Makes up operations. */
export class Operations {
  readonly #cluster: PresenceCluster;
  readonly #model: Model;
  readonly #random: Random;
  readonly #log: (node: number, key: string) => StreamLog;
  #sessions: Session[] = [];
  #serial = 0;

  constructor(cluster: PresenceCluster, model: Model, random: Random, log: (node: number, key: string) => StreamLog) {
    this.#cluster = cluster;
    this.#model = model;
    this.#random = random;
    this.#log = log;
  }

  /** Forgets the sessions of a crashed node; returns their ids. */
  dropSessions(node: number): string[] {
    const lost = this.#sessions.filter((session) => session.node === node);
    this.#sessions = this.#sessions.filter((session) => session.node !== node);
    return lost.map(({ id }) => id);
  }

  next(): Operation {
    const issuer = this.#random.below(this.#cluster.nodes.length);
    const { presence } = this.#node(issuer);
    const stream = this.#random.pick(streams);
    const key = streamKey(stream);
    const die = this.#random.below(100);
    const any = this.#random.pick(this.#sessions.length > 0 ? this.#sessions : [this.#open(issuer)]);
    const onStream = (p: Presence): boolean => streamKey(p.stream) === key;

    if (die < 62) return this.#ownOperation(issuer, stream, die);
    if (die < 74) {
      const userId = userOf(any.id);
      const matches = (p: Presence): boolean => onStream(p) && p.sessionId === any.id && p.userId === userId;
      return {
        text: `${issuer}: untrack ${any.id} ${key}`,
        issuer,
        touches: matches,
        run: () => presence.untrack(any.id, stream, userId),
        expect: () => {
          const { count, events } = this.#model.remove(matches);
          return { result: count === 1, events };
        },
      };
    }
    if (die < 82) {
      const userId = this.#random.pick(users);
      const matches = (p: Presence): boolean => onStream(p) && p.userId === userId;
      return {
        text: `${issuer}: untrackUser ${userId} ${key}`,
        issuer,
        touches: matches,
        run: () => presence.untrackUser(userId, stream),
        expect: () => {
          const { count, events } = this.#model.remove(matches);
          return { result: count, events };
        },
      };
    }
    if (die < 86) {
      return {
        text: `${issuer}: closeStream ${key}`,
        issuer,
        touches: onStream,
        run: () => presence.closeStream(stream),
        expect: () => this.#model.close(key),
      };
    }
    const message = `${this.#serial++}`;
    return {
      text: `${issuer}: message ${message} ${key}`,
      issuer,
      touches: () => false,
      run: () => this.#node(issuer).bus.publish(streamTopic(stream), encodeEnvelope(stream, bytes(message))),
      expect: () => ({ result: undefined, events: new Map([[key, `message ${message}`]]) }),
    };
  }

  /** What only the session's node may do; now and then for a session that is closed. */
  #ownOperation(issuer: number, stream: Stream, die: number): Operation {
    const { presence } = this.#node(issuer);
    const own = this.#sessions.filter(({ node }) => node === issuer);
    const session = own.length < 3 || this.#random.chance(0.1) ? this.#open(issuer) : this.#random.pick(own);
    const entry = this.presence(issuer, session.id, stream);
    const touches = (p: Presence): boolean => p.sessionId === session.id;
    const refusedOr = (expect: Operation['expect']): Operation['expect'] => {
      return () => (session.open ? expect() : { result: refused, events: nothing });
    };
    const key = streamKey(stream);

    if (die < 30) {
      return {
        text: `${issuer}: track ${show(entry)} ${key}`,
        issuer,
        touches,
        run: async () => {
          const { isNew, members } = await presence.track(entry);
          const shown = showAll(members);
          if (isNew) {
            const known = this.#log(issuer, key).membersAtJoin.get(entry.username);
            checkEqual(shown, known, () => `members given to ${show(entry)} on ${key}, against what was heard`);
          }
          return [isNew, shown];
        },
        expect: refusedOr(() => {
          const { added, events } = this.#model.track([entry]);
          return { result: [added[0], showAll(this.#model.members(key))], events };
        }),
      };
    }
    if (die < 40) {
      const entries = Array.from({ length: 1 + this.#random.below(4) }, () =>
        this.presence(issuer, session.id, this.#random.pick(streams)),
      );
      return {
        text: `${issuer}: trackMany ${entries.map((one) => `${show(one)} ${streamKey(one.stream)}`)}`,
        issuer,
        touches,
        run: () => presence.trackMany(entries),
        expect: refusedOr(() => {
          const { added, events } = this.#model.track(entries);
          return { result: added, events };
        }),
      };
    }
    if (die < 54) {
      return {
        text: `${issuer}: update ${show(entry)} ${key}`,
        issuer,
        touches,
        run: () => presence.update(entry),
        expect: refusedOr(() => this.#model.update(entry)),
      };
    }
    return {
      text: `${issuer}: untrackSession ${session.id}`,
      issuer,
      touches,
      run: () => presence.untrackSession(session.id),
      expect: () => {
        session.open = false;
        return { result: undefined, events: this.#model.remove(touches).events };
      },
    };
  }

  #open(node: number): Session {
    const session = { id: `${this.#random.pick(users)}-${this.#serial++}`, node, open: true };
    this.#node(node).presence.openSession(session.id);
    this.#sessions.push(session);
    // Closed ones stay for a while, to be tried again.
    if (this.#sessions.length > 16) this.#sessions = this.#sessions.filter(({ open }) => open);
    return session;
  }

  presence(node: number, sessionId: string, stream: Stream): Presence {
    return {
      node: this.#node(node).directory.self.name,
      sessionId,
      userId: this.#random.chance(0.9) ? userOf(sessionId) : this.#random.pick(users),
      username: `name-${this.#serial++}`,
      hidden: this.#random.chance(0.2),
      persistence: this.#random.chance(0.5),
      status: this.#random.chance(0.5) ? '' : 'online',
      stream,
    };
  }

  #node(index: number): PresenceNode {
    return at(this.#cluster.nodes, index);
  }
}

const nothing: ReadonlyMap<string, string> = new Map();
const userOf = (sessionId: string): string => sessionId.slice(0, sessionId.indexOf('-'));
