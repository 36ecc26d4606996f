import type { PresenceTracker } from '../../cluster/presence.ts';
import { statusStream } from '../streams/index.ts';

/** Which of these users appear online, in the same order; only those of this node, while presences are out of reach. */
export async function onlineFlags(presence: PresenceTracker, userIds: readonly string[]): Promise<boolean[]> {
  return (await presence.glance(userIds.map(statusStream))).map((count) => count > 0);
}
