import { AppError, Code, invalidArgument } from '../../platform/errors.ts';
import { nakama } from '../../wire/generated/messages.js';
import { type Channel, maxRoomNameBytes, roomChannel } from './channel-id.ts';

const { Type } = nakama.realtime.ChannelJoin;
const controlCharacter = /[\0-\x1f\x7f]/;

/** The channel that a join asks for (spec: realtime.md, sections 5.2 and 14.2). Throws INVALID_ARGUMENT. */
export function resolveTarget(target: string, type: number): Channel {
  if (target === '') throw invalidArgument('Invalid channel target');
  switch (type) {
    case Type.TYPE_UNSPECIFIED:
    case Type.ROOM:
      return resolveRoom(target);
    case Type.DIRECT_MESSAGE:
      throw new AppError(Code.UNIMPLEMENTED, 'Direct message channels are not available: Invalid channel target');
    case Type.GROUP:
      throw invalidArgument('Group not found: Invalid channel target');
    default:
      throw invalidArgument('Invalid channel type');
  }
}

function resolveRoom(name: string): Channel {
  if (Buffer.byteLength(name) > maxRoomNameBytes) {
    throw invalidArgument(`Channel name is required and must be 1-${maxRoomNameBytes} chars: Invalid channel target`);
  }
  if (controlCharacter.test(name)) {
    throw invalidArgument('Channel name must not contain control chars: Invalid channel target');
  }
  return roomChannel(name);
}
