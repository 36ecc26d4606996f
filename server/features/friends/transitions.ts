/** What one user is to another, from the point of view of the first (spec: social.md, section 1.2). */
export const FriendState = { FRIEND: 0, INVITE_SENT: 1, INVITE_RECEIVED: 2, BLOCKED: 3 } as const;

/** The two edges between a user and another; undefined for one that is not there. */
export interface Pair {
  readonly own: number | undefined;
  readonly other: number | undefined;
}

/** What becomes of one edge: it is made, or gets a state, or goes. */
export type EdgeChange = { readonly make: number } | { readonly set: number } | 'remove';

/** What the other user hears of it. */
export type News = 'invited' | 'accepted' | 'removed' | 'joined';

export interface Step {
  readonly own?: EdgeChange;
  readonly other?: EdgeChange;
  readonly news?: News;
}

/** What a user does to another. `import`: a provider says that they are friends; `reset` goes before that. */
export type Action = 'add' | 'delete' | 'block' | 'import' | 'reset';

const { FRIEND, INVITE_SENT, INVITE_RECEIVED, BLOCKED } = FriendState;

/**
 * What the action makes of the pair, the user being the one who acts; undefined when nothing is to be done (spec:
 * sections 1.3 and 1.8). Pairs that cannot come about here, but stand in databases of others, are left alone, or
 * removed as a whole.
 */
export function stepOf(action: Action, { own, other }: Pair): Step | undefined {
  const isStranger = own === undefined && other === undefined;
  const isInvited = own === INVITE_RECEIVED && other === INVITE_SENT;
  const hasInvited = own === INVITE_SENT && other === INVITE_RECEIVED;
  // Whoever has blocked the user notices nothing.
  const otherGoes = other === undefined || other === BLOCKED ? {} : ({ other: 'remove' } as const);
  switch (action) {
    case 'add':
      if (isStranger) return { own: { make: INVITE_SENT }, other: { make: INVITE_RECEIVED }, news: 'invited' };
      return isInvited ? { own: { set: FRIEND }, other: { set: FRIEND }, news: 'accepted' } : undefined;
    case 'delete':
      if (own === undefined) return undefined;
      return { own: 'remove', ...otherGoes, ...(own === BLOCKED ? {} : { news: 'removed' }) };
    case 'block':
      return { own: own === undefined ? { make: BLOCKED } : { set: BLOCKED }, ...otherGoes };
    case 'import':
      if (isStranger) return { own: { make: FRIEND }, other: { make: FRIEND }, news: 'joined' };
      return isInvited || hasInvited ? { own: { set: FRIEND }, other: { set: FRIEND }, news: 'joined' } : undefined;
    case 'reset':
      return { ...(own === undefined || own === BLOCKED ? {} : { own: 'remove' }), ...otherGoes };
  }
}

/** The pair as a step leaves it. */
export function afterStep({ own, other }: Pair, step: Step): Pair {
  return { own: afterChange(own, step.own), other: afterChange(other, step.other) };
}

function afterChange(state: number | undefined, change: EdgeChange | undefined): number | undefined {
  if (change === undefined) return state;
  if (change === 'remove') return undefined;
  return 'make' in change ? change.make : change.set;
}
