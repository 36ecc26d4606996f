import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { isNil, parseUuid } from '../../platform/ids.ts';
import { type Channel, type ChannelAccess, groupChannel } from '../chat/index.ts';
import type { Groups } from './groups.ts';

/** The channel of a group is for its members; requests to join do not count. */
export class GroupChannels implements ChannelAccess {
  readonly #groups: Groups;

  constructor(groups: Groups) {
    this.#groups = groups;
  }

  async resolve(target: string, userId: string | null): Promise<Channel> {
    const groupId = parseUuid(target);
    if (groupId === null || isNil(groupId)) {
      throw invalidArgument('Invalid group ID in group channel join: Invalid channel target');
    }
    const isMember =
      userId === null ||
      (await this.#groups.hasMember(groupId, userId).catch((error) => {
        throw internalUnlessTransient(error, 'Failed to look up group membership');
      }));
    if (!isMember) throw invalidArgument('Group not found: Invalid channel target');
    return groupChannel(groupId);
  }

  async requireReader({ stream }: Channel, userId: string): Promise<void> {
    // An id without a group leads nowhere.
    const isMember =
      stream.subject !== '' &&
      (await this.#groups.hasMember(stream.subject, userId).catch((error) => {
        throw internalUnlessTransient(error, 'Error listing channel messages.');
      }));
    if (!isMember) throw invalidArgument('Group not found.');
  }
}
