import { type Presence, presenceKey } from '../../cluster/presence.ts';
import { type PresenceEvent, visible } from '../../cluster/stream-frame.ts';

/**
 * Who is on a stream, as far as the listeners of this node have been told: by lists and by events. After frames were
 * lost, a new list against it says what they have missed.
 */
export class ToldPresences {
  readonly #present = new Map<string, Presence>();
  /** Lists that are being fetched, and who left meanwhile: a list may still have them. */
  #listings = 0;
  readonly #leftMeanwhile = new Set<string>();

  /** Fetches a list and takes it in; events that arrive meanwhile are newer than the list. */
  async whileListing<T>(fetch: () => Promise<{ result: T; members: readonly Presence[] }>): Promise<T> {
    this.#listings++;
    try {
      const { result, members } = await fetch();
      for (const member of visible(members)) {
        const key = presenceKey(member);
        if (!this.#leftMeanwhile.has(key) && !this.#present.has(key)) this.#present.set(key, member);
      }
      return result;
    } finally {
      if (--this.#listings === 0) this.#leftMeanwhile.clear();
    }
  }

  /** Notes an event, and answers it as it is. */
  take(event: PresenceEvent): PresenceEvent {
    for (const leave of event.leaves) {
      this.#present.delete(presenceKey(leave));
      if (this.#listings > 0) this.#leftMeanwhile.add(presenceKey(leave));
    }
    for (const join of event.joins) {
      this.#present.set(presenceKey(join), join);
      this.#leftMeanwhile.delete(presenceKey(join));
    }
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
}
