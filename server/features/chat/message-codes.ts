/** What a message says happened (spec: realtime.md, sections 14.5 and 14.6; social.md, section 2.15). */
export const MessageCode = {
  SENT: 0,
  UPDATED: 1,
  REMOVED: 2,
  GROUP_JOIN: 3,
  GROUP_ADD: 4,
  GROUP_LEAVE: 5,
  GROUP_KICK: 6,
  GROUP_PROMOTE: 7,
  GROUP_BAN: 8,
  GROUP_DEMOTE: 9,
} as const;

const departures: ReadonlySet<number> = new Set([
  MessageCode.GROUP_LEAVE,
  MessageCode.GROUP_KICK,
  MessageCode.GROUP_BAN,
]);

/** Is it the last message that the user it names hears on the channel? */
export const isDeparture = (code: number): boolean => departures.has(code);
