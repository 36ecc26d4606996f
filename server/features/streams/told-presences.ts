import { type Presence, presenceKey } from '../../cluster/presence.ts';
import { type PresenceEvent, visible } from '../../cluster/stream-frame.ts';
import { SmallMap } from '../../platform/small.ts';

/**
 * Who is on a stream, as far as the listeners of this node have been told: by lists and by events. After frames were
 * lost, a new list against it says what they have missed.
 */
export class ToldPresences {
  readonly #present = new SmallMap<Presence>();
  /** Lists that are being fetched, and what was said meanwhile: how somebody is there, or undefined for who left. */
  #listings = 0;
  #saidMeanwhile: Map<string, Presence | undefined> | undefined;
  #isComplete = false;

  /** Whether a list was taken in: since then whoever is not present is not there, as far as listeners know. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * Fetches a list and takes it in. What was said meanwhile counts more than the list, and replaces that part of it: a
   * listener that gets the list after the events must not take it for news, and must not miss any of them either.
   * @param onMissed is called with what the list shows that was not told before.
   */
  async whileListing(
    fetch: () => Promise<Presence[]>,
    onMissed: (event: PresenceEvent) => void = () => {},
  ): Promise<Presence[]> {
    this.#listings++;
    try {
      const listed = new Map((await fetch()).map((member) => [presenceKey(member), member]));
      for (const [key, told] of this.#saidMeanwhile ?? []) {
        if (told !== undefined) listed.set(key, told);
        else if (listed.get(key)?.hidden !== true) listed.delete(key);
      }
      const members = [...listed.values()];
      onMissed(this.replace(members));
      this.#isComplete = true;
      return members;
    } finally {
      if (--this.#listings === 0) this.#saidMeanwhile = undefined;
    }
  }

  /**
   * Notes an event, and answers the part of it that listeners have not been told: nodes repeat themselves when Redis was
   * away, and others may have missed what was said before.
   */
  take(event: PresenceEvent): PresenceEvent {
    for (const leave of event.leaves) this.#noteMeanwhile(presenceKey(leave), undefined);
    for (const join of event.joins) this.#noteMeanwhile(presenceKey(join), join);
    const leaves = event.leaves.filter((leave) => {
      const known = this.#present.get(presenceKey(leave));
      return known === undefined ? !this.#isComplete : known.status === leave.status;
    });
    const left = new Set(leaves.map(presenceKey));
    const joins = event.joins.filter((join) => left.has(presenceKey(join)) || !this.#present.has(presenceKey(join)));
    return this.#tell({ leaves, joins });
  }

  /** Takes a list for the truth, and answers what listeners have missed. */
  replace(members: readonly Presence[]): PresenceEvent {
    const now = new Map(visible(members).map((member) => [presenceKey(member), member]));
    const isSame = (known: Presence | undefined, other: Presence | undefined): boolean =>
      known !== undefined && known.status === other?.status;
    const leaves = [...this.#present].flatMap(([key, known]) => (isSame(known, now.get(key)) ? [] : [known]));
    const joins = [...now].flatMap(([key, member]) => (isSame(this.#present.get(key), member) ? [] : [member]));
    return this.#tell({ leaves, joins });
  }

  clear(): void {
    this.#present.clear();
  }

  #tell(event: PresenceEvent): PresenceEvent {
    for (const leave of event.leaves) this.#note(presenceKey(leave), undefined);
    for (const join of event.joins) this.#note(presenceKey(join), join);
    return event;
  }

  #note(key: string, presence: Presence | undefined): void {
    if (presence === undefined) this.#present.delete(key);
    else this.#present.set(key, presence);
    this.#noteMeanwhile(key, presence);
  }

  #noteMeanwhile(key: string, presence: Presence | undefined): void {
    if (this.#listings === 0) return;
    this.#saidMeanwhile ??= new Map();
    this.#saidMeanwhile.set(key, presence);
  }
}
