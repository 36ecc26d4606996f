import { AppError, Code, invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { payload } from '../../wire/envelope.ts';
import { ack, api, type Method, realtime } from '../../wire/method.ts';
import { type Channel, channelNames, parseChannelId } from './channel-id.ts';
import type { Chat } from './chat.ts';
import { listMessages } from './history.ts';
import { toMessage } from './wire.ts';

const defaultHistoryLimit = 1;
const maxHistoryLimit = 100;

export function chatMethods(chat: Chat, db: Database): Method[] {
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
      const limit = request.limit?.value ?? defaultHistoryLimit;
      if (limit < 1 || limit > maxHistoryLimit) {
        throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxHistoryLimit}.`);
      }
      const channel = parseChannelId(request.channel_id);
      if (channel === null) throw invalidArgument('Invalid channel ID.');
      requireReadable(channel, user.id);
      const page = await listMessages(db, channel, {
        limit,
        forward: request.forward?.value ?? true,
        cursor: request.cursor,
      });
      return {
        messages: page.messages.map((row) => toMessage(channel, row)),
        next_cursor: page.nextCursor,
        prev_cursor: page.prevCursor,
        cacheable_cursor: page.cacheableCursor,
      };
    }),
  ];
}

/** Anyone may read rooms; direct messages only the two; group history needs membership, and there are no groups. */
function requireReadable({ kind, stream }: Channel, userId: string): void {
  if (kind === 'group') throw new AppError(Code.INVALID_ARGUMENT, 'Group not found.');
  if (kind === 'direct' && userId !== stream.subject && userId !== stream.subcontext) {
    throw new AppError(Code.INVALID_ARGUMENT, 'Channel not found.');
  }
}
