import type { Presence } from '../../cluster/presence.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { isNil, parseUuid } from '../../platform/ids.ts';
import type { Accounts } from '../accounts/index.ts';
import type { Friends } from '../friends/index.ts';
import { NotificationCode, type Notifications } from '../notifications/index.ts';
import type { ChannelAccess, ChannelUser } from './access.ts';
import { type Channel, directChannel } from './channel-id.ts';

interface Dependencies {
  readonly accounts: Pick<Accounts, 'find'>;
  readonly friends: Pick<Friends, 'hasBlocked'>;
  readonly notifications: Pick<Notifications, 'sendBestEffort'>;
}

/**
 * Direct messages are for two users, or for one with themselves. The other has to exist and not to have blocked the
 * one who joins, which looks the same to that one.
 */
export class DirectAccess implements ChannelAccess {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** @param userId null for the server: the channel then is the target's with the system user. */
  async resolve(target: string, userId: string | null): Promise<Channel> {
    const otherId = parseUuid(target);
    if (otherId === null || isNil(otherId)) {
      throw invalidArgument('Invalid user ID in direct message join: Invalid channel target');
    }
    if (userId === null) return directChannel('', otherId);
    const isOpen = await this.#mayWrite(userId, otherId).catch((error) => {
      throw internalUnlessTransient(error, 'Failed to look up user ID');
    });
    if (!isOpen) throw invalidArgument('User ID not found: Invalid channel target');
    return directChannel(userId, otherId);
  }

  async requireReader({ stream }: Channel, userId: string): Promise<void> {
    if (userId !== stream.subject && userId !== stream.subcontext) throw invalidArgument('Channel not found.');
  }

  /** Tells the other user that somebody wants to talk, unless they can be seen on the channel. */
  async joined({ stream }: Channel, user: ChannelUser, members: readonly Presence[]): Promise<void> {
    const otherId = stream.subject === user.id ? stream.subcontext : stream.subject;
    if (members.some((member) => member.userId === otherId && !member.hidden)) return;
    const notice = {
      userId: otherId,
      subject: `${user.username} wants to chat`,
      content: JSON.stringify({ username: user.username }),
      code: NotificationCode.DIRECT_MESSAGE_REQUEST,
      senderId: user.id,
      persistent: true,
    };
    await this.#deps.notifications.sendBestEffort([notice]);
  }

  async #mayWrite(userId: string, otherId: string): Promise<boolean> {
    const { accounts, friends } = this.#deps;
    const [found, isBlocked] = await Promise.all([
      accounts.find([otherId], [], []),
      friends.hasBlocked(otherId, userId),
    ]);
    return found.length > 0 && !isBlocked;
  }
}
