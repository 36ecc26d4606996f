import type { Accounts } from '../accounts/index.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Friends } from '../friends/index.ts';
import type { Notifications } from '../notifications/index.ts';
import type { Streams } from '../streams/index.ts';
import { ChannelAccesses } from './access.ts';
import { describeChannels } from './channel-streams.ts';
import { Chat } from './chat.ts';
import { DirectAccess } from './direct-access.ts';
import { MessageLog } from './message-log.ts';
import { Messages } from './messages.ts';
import { chatMethods } from './methods.ts';
import { RoomAccess } from './room-access.ts';
import { SystemMessages } from './system-messages.ts';
import { chatUserData } from './user-data.ts';

export type { ChannelAccess, ChannelAccesses, ChannelUser } from './access.ts';
export { type Channel, groupChannel } from './channel-id.ts';
export type { Chat, ServerAuthor } from './chat.ts';
export type { HistoryPage, HistoryRequest } from './history.ts';
export { MessageCode } from './message-codes.ts';
export type { StoredMessage } from './message-log.ts';
export type { Author, MessageAck } from './messages.ts';
export type { MessageRow } from './queries.ts';
export type { SystemMessage, SystemMessages } from './system-messages.ts';

export interface ChatFeature extends Feature {
  /** nk: channelMessageSend, channelMessageUpdate, channelMessageRemove, channelMessagesList, channelIdBuild. */
  readonly chat: Chat;
  /** Features that have channels of their own say here who may use them. */
  readonly channels: ChannelAccesses;
  /** For features that have something to say in channels of their own. */
  readonly messages: SystemMessages;
}

interface Others {
  readonly streams: Streams;
  readonly accounts: Accounts;
  readonly friends: Friends;
  readonly notifications: Notifications;
}

/** Chat rooms and direct messages with stored history, and what other features' channels need. */
export function createChat({ config, db, clock }: FeatureKit, { streams, ...others }: Others): ChatFeature {
  const log = new MessageLog(db, config.limits.chat_queue);
  describeChannels(streams, log);
  const channels = new ChannelAccesses();
  channels.set('room', new RoomAccess());
  channels.set('direct', new DirectAccess(others));
  const messages = new Messages({ streams, log, clock });
  const chat = new Chat({ db, streams, channels, log, messages, maxChannels: config.limits.session_channels });
  return {
    name: 'chat',
    methods: chatMethods(chat),
    userData: chatUserData(db),
    chat,
    channels,
    messages: new SystemMessages(streams, log),
    async socketClosed(session) {
      chat.closed(session);
    },
  };
}
