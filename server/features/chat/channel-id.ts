import { type Stream, StreamMode, streamKey } from '../../cluster/stream.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';

export type ChannelKind = 'room' | 'group' | 'direct';

/** A chat channel: the stream behind it, under the id that clients know (spec: realtime.md, section 14.1). */
export interface Channel {
  /** Canonical: `2...<room>`, `3.<group id>..` or `4.<lower user id>.<higher user id>.`. */
  readonly id: string;
  readonly kind: ChannelKind;
  readonly stream: Stream;
}

export const maxRoomNameBytes = 64;

export function roomChannel(name: string): Channel {
  return channel('room', { mode: StreamMode.CHANNEL, subject: '', subcontext: '', label: name });
}

export function groupChannel(groupId: string): Channel {
  return channel('group', { mode: StreamMode.GROUP, subject: groupId, subcontext: '', label: '' });
}

/** The same for both users, whichever of them asks. */
export function directChannel(userId: string, otherUserId: string): Channel {
  const [subject = '', subcontext = ''] = [userId, otherUserId].sort();
  return channel('direct', { mode: StreamMode.DIRECT_MESSAGE, subject, subcontext, label: '' });
}

/**
 * The channel that an id names, or null. User and group ids may be spelled in any form; the channel's own id is
 * canonical. A direct id with its users swapped names another stream, on which nobody is.
 */
export function parseChannelId(id: string): Channel | null {
  const [mode, subject, subcontext, ...rest] = id.split('.');
  if (subject === undefined || subcontext === undefined || rest.length === 0) return null;
  // Room names may contain dots.
  const label = rest.join('.');
  if (mode === '2') {
    const isRoom = subject === '' && subcontext === '' && label !== '' && Buffer.byteLength(label) <= maxRoomNameBytes;
    return isRoom ? roomChannel(label) : null;
  }
  if (label !== '') return null;
  const first = parseOptionalUuid(subject);
  const second = parseOptionalUuid(subcontext);
  if (first === null || second === null) return null;
  if (mode === '3') return second === '' && subcontext === '' ? groupChannel(first) : null;
  if (mode === '4') {
    return channel('direct', { mode: StreamMode.DIRECT_MESSAGE, subject: first, subcontext: second, label: '' });
  }
  return null;
}

/** How messages and events name the channel besides its id. */
export function channelNames({ kind, stream }: Channel): {
  room_name?: string;
  group_id?: string;
  user_id_one?: string;
  user_id_two?: string;
} {
  if (kind === 'room') return { room_name: stream.label };
  if (kind === 'group') return { group_id: stream.subject };
  return { user_id_one: stream.subject, user_id_two: stream.subcontext };
}

/** The channel of a chat stream. */
export function channelOfStream(stream: Stream): Channel {
  const kinds: Record<number, ChannelKind> = {
    [StreamMode.CHANNEL]: 'room',
    [StreamMode.GROUP]: 'group',
    [StreamMode.DIRECT_MESSAGE]: 'direct',
  };
  const kind = kinds[stream.mode];
  if (kind === undefined) throw new Error(`stream mode ${stream.mode} is no chat channel`);
  return channel(kind, stream);
}

function channel(kind: ChannelKind, stream: Stream): Channel {
  return { id: streamKey(stream), kind, stream };
}

/** '' and the nil UUID mean none. */
function parseOptionalUuid(text: string): string | null {
  if (text === '') return '';
  const id = parseUuid(text);
  return id === nilUuid ? '' : id;
}
