import { invalidArgument } from '../../platform/errors.ts';
import type { ChannelAccess } from './access.ts';
import { type Channel, maxRoomNameBytes, roomChannel } from './channel-id.ts';

const controlCharacter = /[\0-\x1f\x7f]/;

/** Rooms are there for everybody, under any name that is short enough. */
export class RoomAccess implements ChannelAccess {
  async resolve(name: string): Promise<Channel> {
    if (name === '' || Buffer.byteLength(name) > maxRoomNameBytes) {
      throw invalidArgument(`Channel name is required and must be 1-${maxRoomNameBytes} chars: Invalid channel target`);
    }
    if (controlCharacter.test(name)) {
      throw invalidArgument('Channel name must not contain control chars: Invalid channel target');
    }
    return roomChannel(name);
  }

  async requireReader(): Promise<void> {
    // Anyone may read.
  }
}
