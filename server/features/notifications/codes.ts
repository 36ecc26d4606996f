/** Codes that the server itself sends (spec: social.md, section 3.2). */
export const NotificationCode = {
  DIRECT_MESSAGE_REQUEST: -1,
  FRIEND_REQUEST: -2,
  FRIEND_ACCEPT: -3,
  GROUP_ADD: -4,
  GROUP_JOIN_REQUEST: -5,
  FRIEND_JOINED_GAME: -6,
  SINGLE_SOCKET: -7,
  USER_BANNED: -8,
  FRIEND_REMOVE: -9,
} as const;

/** What game code may send to chosen users: everything above zero, and a range below that is kept for it. */
export function isCustomCode(code: number): boolean {
  return Number.isInteger(code) && ((code > 0 && code <= maxCode) || (code >= -2000 && code <= -1000));
}

/** What game code may send to everybody. */
export function isBroadcastCode(code: number): boolean {
  return Number.isInteger(code) && code > 0 && code <= maxCode;
}

/** The column is a smallint. */
const maxCode = 32_767;
