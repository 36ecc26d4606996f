import { StreamMode } from '../../cluster/stream.ts';
import { payload } from '../../wire/envelope.ts';
import type { Streams } from '../streams/index.ts';
import { channelNames, channelOfStream } from './channel-id.ts';
import { isDeparture } from './message-codes.ts';
import type { MessageLog } from './message-log.ts';
import { toMicros } from './places.ts';
import { toMessage } from './wire.ts';

/** Says what the streams of chat channels tell of who comes and goes, and where their messages have their order from. */
export function describeChannels(streams: Streams, log: MessageLog): void {
  for (const mode of [StreamMode.CHANNEL, StreamMode.GROUP, StreamMode.DIRECT_MESSAGE]) {
    streams.describe(mode, 'members', (stream, joins, leaves) => {
      const channel = channelOfStream(stream);
      return payload('channel_presence_event', { channel_id: channel.id, joins, leaves, ...channelNames(channel) });
    });
    streams.order(mode, {
      head: (stream) => log.head(channelOfStream(stream)),
      async between(stream, after, upTo, limit) {
        const channel = channelOfStream(stream);
        const rows = await log.between(channel, after, upTo, limit);
        return rows.map((row) => ({
          time: toMicros(row.create_time),
          message: payload('channel_message', toMessage(channel, row)),
          leaverId: isDeparture(row.code) ? row.sender_id : undefined,
        }));
      },
    });
  }
}
