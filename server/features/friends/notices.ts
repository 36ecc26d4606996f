import { type NewNotification, NotificationCode } from '../notifications/index.ts';
import type { Actor } from './targets.ts';
import type { News } from './transitions.ts';

const notices: Readonly<Record<News, { code: number; subject: (username: string) => string }>> = {
  invited: {
    code: NotificationCode.FRIEND_REQUEST,
    subject: (username) => `${username} wants to add you as a friend`,
  },
  accepted: {
    code: NotificationCode.FRIEND_ACCEPT,
    subject: (username) => `${username} accepted your friend request`,
  },
  removed: {
    code: NotificationCode.FRIEND_REMOVE,
    subject: (username) => `${username} removed you as a friend`,
  },
  joined: {
    code: NotificationCode.FRIEND_JOINED_GAME,
    subject: () => 'Your friend has just joined the game',
  },
};

/** What a user is told of what the actor did (spec: social.md, section 3.2). */
export function noticeOf(news: News, actor: Actor, userId: string): NewNotification {
  const { code, subject } = notices[news];
  const content = JSON.stringify({ username: actor.username });
  return { userId, subject: subject(actor.username), content, code, senderId: actor.id, persistent: true };
}
