import { newId } from '../../platform/ids.ts';
import { type Payload, payload } from '../../wire/envelope.ts';

// The last message on a socket that the server is about to close (spec: social.md, section 3.2).
function notice(subject: string, code: number, nowMs: number): Payload {
  const notification = {
    id: newId(),
    subject,
    content: '{}',
    code,
    create_time: { seconds: Math.floor(nowMs / 1000) },
  };
  return payload('notifications', { notifications: [notification] });
}

/** Tells a socket that a newer one of its user took its place. */
export const singleSocketNotice = (nowMs: number): Payload => notice('single_socket', -7, nowMs);

/** Tells a socket that its user was banned. */
export const bannedNotice = (nowMs: number): Payload => notice('banned', -8, nowMs);
