import { nilUuid } from '../../platform/ids.ts';
import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { NotificationRow } from './queries.ts';

/** What everybody gets, or one user. */
export interface Notice {
  /** 1 to 255 characters. */
  readonly subject: string;
  /** Text of a JSON object. */
  readonly content: string;
  readonly code: number;
  /** '' for the system. */
  readonly senderId: string;
  /** Kept until the user deletes it, besides being sent to the sockets that are open. */
  readonly persistent: boolean;
}

/** What a socket gets. The system's sender is spelled out here, and left out in lists (spec: social.md, section 3.3). */
export function toLive(notice: Notice, id: string, unixSeconds: number): Init<nakama.api.Notification> {
  const { subject, content, code, senderId, persistent } = notice;
  const create_time = { seconds: unixSeconds };
  return { id, subject, content, code, sender_id: senderId || nilUuid, create_time, persistent };
}

/** What a client lists: whole seconds, and no sender where it was the system. */
export function toListed(row: NotificationRow): Init<nakama.api.Notification> {
  const { id, subject, content, code, read } = row;
  const sender_id = row.sender_id === nilUuid ? '' : row.sender_id;
  const create_time = truncateToSeconds(row.create_time);
  return { id, subject, content, code, sender_id, create_time, persistent: true, read };
}
