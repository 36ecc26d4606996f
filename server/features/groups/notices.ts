import { type NewNotification, NotificationCode } from '../notifications/index.ts';

// What users are told of groups (spec: social.md, section 3.2).

/** @param actorId '' for the server. */
export function addedNotice(userId: string, group: { id: string; name: string }, actorId: string): NewNotification {
  return {
    userId,
    subject: toSubject(`You've been added to group ${group.name}`),
    content: JSON.stringify({ group_id: group.id, name: group.name }),
    code: NotificationCode.GROUP_ADD,
    senderId: actorId,
    persistent: true,
  };
}

/** For an admin of the group. */
export function requestNotice(
  userId: string,
  groupId: string,
  requester: { readonly id: string; readonly username: string },
): NewNotification {
  return {
    userId,
    subject: toSubject(`User ${requester.username} wants to join your group`),
    content: JSON.stringify({ group_id: groupId, username: requester.username }),
    code: NotificationCode.GROUP_JOIN_REQUEST,
    senderId: requester.id,
    persistent: true,
  };
}

const maxSubjectLength = 255;

/** The name of a group may be as long as a subject; half a surrogate pair would be no text. */
const toSubject = (text: string): string => text.slice(0, maxSubjectLength).replace(/[\uD800-\uDBFF]$/, '');
