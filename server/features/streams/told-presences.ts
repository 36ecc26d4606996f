import { type Presence, presenceKey } from '../../cluster/presence.ts';
import { type PresenceEvent, visible } from '../../cluster/stream-frame.ts';

/**
 * Who is on a stream, as far as the listeners of this node have been told: by lists and by events. After frames were
 * lost, a new list against it says what they have missed.
 */
export class ToldPresences {
  readonly #present = new Map<string, Presence>();
  /** Lists that are being fetched, and what was told meanwhile: how somebody is there, or undefined for who left. */
  #listings = 0;
  readonly #toldMeanwhile = new Map<string, Presence | undefined>();

  /**
   * Fetches a list and takes it in. What was told meanwhile counts more than the list, and replaces that part of it: a
   * listener that gets the list after the events must not take it for news.
   */
  async whileListing(fetch: () => Promise<Presence[]>): Promise<Presence[]> {
    this.#listings++;
    try {
      const members = (await fetch()).flatMap((member) => {
        const key = presenceKey(member);
        if (!this.#toldMeanwhile.has(key)) return [member];
        const told = this.#toldMeanwhile.get(key) ?? (member.hidden ? member : undefined);
        return told === undefined ? [] : [told];
      });
      for (const member of visible(members)) {
        const key = presenceKey(member);
        if (!this.#present.has(key)) this.#present.set(key, member);
      }
      return members;
    } finally {
      if (--this.#listings === 0) this.#toldMeanwhile.clear();
    }
  }

  /** Notes an event, and answers it as it is. */
  take(event: PresenceEvent): PresenceEvent {
    for (const leave of event.leaves) this.#note(presenceKey(leave), undefined);
    for (const join of event.joins) this.#note(presenceKey(join), join);
    return event;
  }

  /** Notes an event, and answers the part of it that listeners have not been told. */
  takeNews(event: PresenceEvent): PresenceEvent {
    const leaves = event.leaves.filter((leave) => this.#present.get(presenceKey(leave))?.status === leave.status);
    const left = new Set(leaves.map(presenceKey));
    const joins = event.joins.filter((join) => left.has(presenceKey(join)) || !this.#present.has(presenceKey(join)));
    return this.take({ leaves, joins });
  }

  /** Takes a list for the truth, and answers what listeners have missed. */
  replace(members: readonly Presence[]): PresenceEvent {
    const now = new Map(visible(members).map((member) => [presenceKey(member), member]));
    const isSame = (known: Presence | undefined, other: Presence | undefined): boolean =>
      known !== undefined && known.status === other?.status;
    const leaves = [...this.#present].flatMap(([key, known]) => (isSame(known, now.get(key)) ? [] : [known]));
    const joins = [...now].flatMap(([key, member]) => (isSame(this.#present.get(key), member) ? [] : [member]));
    return this.take({ leaves, joins });
  }

  clear(): void {
    this.#present.clear();
  }

  #note(key: string, presence: Presence | undefined): void {
    if (presence === undefined) this.#present.delete(key);
    else this.#present.set(key, presence);
    if (this.#listings > 0) this.#toldMeanwhile.set(key, presence);
  }
}
