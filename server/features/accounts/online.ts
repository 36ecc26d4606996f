import type { PresenceTracker } from '../../cluster/presence.ts';
import { AppError, Code } from '../../platform/errors.ts';
import { statusStream } from '../streams/index.ts';

/** Which of these users appear online, in the same order; nobody while presences are out of reach. */
export async function onlineFlags(presence: PresenceTracker, userIds: readonly string[]): Promise<boolean[]> {
  try {
    return (await presence.counts(userIds.map(statusStream))).map((count) => count > 0);
  } catch (error) {
    if (error instanceof AppError && error.code === Code.UNAVAILABLE) return userIds.map(() => false);
    throw error;
  }
}
