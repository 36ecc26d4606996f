import { type Presence, presenceKey } from '../../cluster/presence.ts';
import { streamKey } from '../../cluster/stream.ts';
import { allChanges, type PresenceEvent, type StreamMessage } from '../../cluster/stream-frame.ts';

/** The system under test broke a promise; any other error is a fault of the test. */
export class CheckFailed extends Error {}

export function check(holds: boolean, text: () => string): void {
  if (!holds) throw new CheckFailed(text());
}

export function checkEqual(actual: unknown, expected: unknown, what: () => string): void {
  const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(got === wanted, () => `${what()}:\n  got      ${got}\n  expected ${wanted}`);
}

export const show = (presence: Presence): string =>
  [
    presence.node,
    presenceKey(presence),
    presence.username,
    presence.status,
    presence.hidden ? 'hidden' : '',
    presence.persistence ? 'persistent' : '',
  ].join('/');

export const showAll = (presences: Iterable<Presence>): string[] => [...presences].map(show).sort();

export const showEvent = ({ leaves, joins }: PresenceEvent): string =>
  `leaves [${showAll(leaves)}] joins [${showAll(joins)}]`;

function showMessage(message: StreamMessage): string {
  if (message.kind === 'envelope') return `message ${new TextDecoder().decode(message.envelope)}`;
  return message.kind === 'closed' ? 'closed' : showEvent(allChanges(message));
}

/** What one node heard on one stream, and the members that follow from it. */
export class StreamLog {
  /** In the order heard. */
  readonly entries: string[] = [];
  readonly members = new Map<string, Presence>();
  /** The members right after the join that carried that username: usernames are never used twice. */
  readonly membersAtJoin = new Map<string, string[]>();
  /** The first double join, or leave of what was not there. */
  problem: string | undefined;

  constructor(members: readonly Presence[]) {
    for (const presence of members) this.members.set(presenceKey(presence), presence);
  }

  hear(message: StreamMessage): void {
    this.entries.push(showMessage(message));
    if (message.kind === 'closed') this.members.clear();
    const { leaves, joins } = allChanges(message);
    for (const presence of leaves) {
      const known = this.members.get(presenceKey(presence));
      if (known === undefined) this.problem ??= `leave without join: ${show(presence)}`;
      else if (show(known) !== show(presence)) this.problem ??= `${show(known)} left as ${show(presence)}`;
      this.members.delete(presenceKey(presence));
    }
    for (const presence of joins) {
      if (this.members.has(presenceKey(presence))) this.problem ??= `join without leave: ${show(presence)}`;
      this.members.set(presenceKey(presence), presence);
    }
    for (const { username } of joins) this.membersAtJoin.set(username, showAll(this.members.values()));
  }
}

/** Folds events into a list taken while they flowed, as the port's documentation says. */
export function foldList(list: readonly Presence[], since: readonly StreamMessage[]): string[] {
  const members = new Map(list.map((presence) => [presenceKey(presence), presence]));
  for (const message of since) {
    if (message.kind === 'closed') members.clear();
    const { leaves, joins } = allChanges(message);
    for (const presence of leaves) members.delete(presenceKey(presence));
    for (const presence of joins) members.set(presenceKey(presence), presence);
  }
  return showAll(members.values());
}

/** What an operation should give back, and what should be heard of it, by stream key. */
export interface Outcome {
  readonly result: unknown;
  readonly events: ReadonlyMap<string, string>;
}

/** The truth, by the simplest means. */
export class Model {
  readonly #streams = new Map<string, Map<string, Presence>>();

  members(key: string): Presence[] {
    return [...(this.#streams.get(key)?.values() ?? [])];
  }

  all(): Presence[] {
    return [...this.#streams.values()].flatMap((members) => [...members.values()]);
  }

  /** Takes over what was found where the order of the operations was open. */
  learn(key: string, id: string, presence: Presence | undefined): void {
    if (presence === undefined) this.#members(key).delete(id);
    else this.#members(key).set(id, presence);
  }

  track(presences: readonly Presence[]): { added: boolean[]; events: ReadonlyMap<string, string> } {
    const joins: Presence[] = [];
    const added = presences.map((presence) => {
      const members = this.#members(streamKey(presence.stream));
      if (members.has(presenceKey(presence))) return false;
      members.set(presenceKey(presence), presence);
      joins.push(presence);
      return true;
    });
    return { added, events: byStream(joins, 'joins') };
  }

  update(presence: Presence): Outcome {
    const key = streamKey(presence.stream);
    const old = this.#members(key).get(presenceKey(presence));
    this.#members(key).set(presenceKey(presence), presence);
    const event = showEvent({ leaves: old === undefined ? [] : [old], joins: [presence] });
    return { result: undefined, events: new Map([[key, event]]) };
  }

  remove(matches: (presence: Presence) => boolean): { count: number; events: ReadonlyMap<string, string> } {
    const leaves = this.all().filter(matches);
    for (const presence of leaves) this.#members(streamKey(presence.stream)).delete(presenceKey(presence));
    return { count: leaves.length, events: byStream(leaves, 'leaves') };
  }

  close(key: string): Outcome {
    const result = this.#members(key).size;
    this.#members(key).clear();
    return { result, events: new Map([[key, 'closed']]) };
  }

  #members(key: string): Map<string, Presence> {
    const known = this.#streams.get(key);
    if (known !== undefined) return known;
    const members = new Map<string, Presence>();
    this.#streams.set(key, members);
    return members;
  }
}

function byStream(presences: readonly Presence[], kind: 'joins' | 'leaves'): Map<string, string> {
  const groups = new Map<string, Presence[]>();
  for (const presence of presences) {
    const key = streamKey(presence.stream);
    groups.set(key, [...(groups.get(key) ?? []), presence]);
  }
  return new Map([...groups].map(([key, group]) => [key, showEvent({ leaves: [], joins: [], [kind]: group })]));
}
