import { payload } from '../../wire/envelope.ts';
import { ack, api, type Method, realtime } from '../../wire/method.ts';
import { channelNames } from './channel-id.ts';
import type { Chat } from './chat.ts';
import { toMessage } from './wire.ts';

const defaultHistoryLimit = 1;

export function chatMethods(chat: Chat): Method[] {
  return [
    realtime('channel_join', async ({ socket }, { target, type, persistence, hidden }) => {
      const joined = await chat.join(socket, {
        target,
        type,
        persistence: persistence?.value ?? true,
        hidden: hidden?.value ?? false,
      });
      const { channel, presences, self } = joined;
      return payload('channel', { id: channel.id, presences, self, ...channelNames(channel) });
    }),

    realtime('channel_leave', async ({ socket }, { channel_id }) => {
      await chat.leave(socket, channel_id);
      return ack;
    }),

    realtime('channel_message_send', async ({ socket }, { channel_id, content }) =>
      payload('channel_message_ack', await chat.send(socket, channel_id, content)),
    ),

    realtime('channel_message_update', async ({ socket }, { channel_id, message_id, content }) =>
      payload('channel_message_ack', await chat.update(socket, channel_id, message_id, content)),
    ),

    realtime('channel_message_remove', async ({ socket }, { channel_id, message_id }) =>
      payload('channel_message_ack', await chat.remove(socket, channel_id, message_id)),
    ),

    api('ListChannelMessages', { auth: 'session' }, async ({ user }, request) => {
      const page = await chat.history(user.id, request.channel_id, {
        limit: request.limit?.value ?? defaultHistoryLimit,
        forward: request.forward?.value ?? true,
        cursor: request.cursor,
      });
      return {
        messages: page.messages.map((row) => toMessage(page.channel, row)),
        next_cursor: page.nextCursor,
        prev_cursor: page.prevCursor,
        cacheable_cursor: page.cacheableCursor,
      };
    }),
  ];
}
