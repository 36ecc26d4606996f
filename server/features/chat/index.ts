import type { Feature, FeatureKit } from '../feature.ts';
import type { Streams } from '../streams/index.ts';
import { Chat } from './chat.ts';
import { MessageLog } from './message-log.ts';
import { chatMethods } from './methods.ts';
import { chatUserData } from './user-data.ts';

/** Chat rooms with stored history. */
export function createChat(kit: FeatureKit, { streams }: { streams: Streams }): Feature {
  const { limits } = kit.config;
  const log = new MessageLog(kit.db, limits.chat_queue);
  const chat = new Chat({ streams, log, clock: kit.clock, maxChannels: limits.session_channels });
  return {
    name: 'chat',
    methods: chatMethods(chat, kit.db),
    userData: chatUserData(kit.db),
    async socketOpened(session) {
      chat.opened(session);
    },
    async socketClosed(session) {
      chat.closed(session);
    },
  };
}
