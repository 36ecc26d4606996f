import type { Init, nakama } from '../../wire/generated/messages.js';
import { type Channel, channelNames } from './channel-id.ts';
import type { MessageRow } from './queries.ts';

/** A stored message as history lists it. */
export function toMessage(channel: Channel, row: MessageRow): Init<nakama.api.ChannelMessage> {
  return {
    channel_id: channel.id,
    message_id: row.id,
    code: { value: row.code },
    sender_id: row.sender_id,
    username: row.username,
    content: row.content,
    create_time: row.create_time,
    update_time: row.update_time,
    persistent: { value: true },
    ...channelNames(channel),
  };
}
