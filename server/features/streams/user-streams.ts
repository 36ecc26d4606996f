import { type Stream, StreamMode } from '../../cluster/stream.ts';

/** Reaches every socket of the user. */
export const notificationStream = (userId: string): Stream => ({
  mode: StreamMode.NOTIFICATIONS,
  subject: userId,
  subcontext: '',
  label: '',
});

/** Whoever is on it appears online; followers hear of it. */
export const statusStream = (userId: string): Stream => ({
  mode: StreamMode.STATUS,
  subject: userId,
  subcontext: '',
  label: '',
});

/** Where two users write to each other: the same for both, whichever of them asks. */
export function directMessageStream(userId: string, otherId: string): Stream {
  const [subject = '', subcontext = ''] = [userId, otherId].sort();
  return { mode: StreamMode.DIRECT_MESSAGE, subject, subcontext, label: '' };
}
