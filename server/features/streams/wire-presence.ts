import type { Presence } from '../../cluster/presence.ts';
import { StreamMode } from '../../cluster/stream.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';

/** Someone who came to a stream or left it, as clients see them. */
export type WirePresence = Init<nakama.realtime.UserPresence>;

/** A presence as clients see it: `persistence` only when true, `status` only on status streams (spec: section 9). */
export function toWirePresence({ stream, sessionId, userId, username, persistence, status }: Presence): WirePresence {
  return {
    user_id: userId,
    session_id: sessionId,
    username,
    persistence,
    ...(stream.mode === StreamMode.STATUS ? { status: { value: status } } : {}),
  };
}
