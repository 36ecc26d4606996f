import type { Presence } from '../../cluster/presence.ts';
import { invalidArgument } from '../../platform/errors.ts';
import { nakama } from '../../wire/generated/messages.js';
import type { Channel, ChannelKind } from './channel-id.ts';

/** Who may use the channels of one kind: said by the feature that knows (spec: realtime.md, sections 5.2, 14.2, 14.7). */
export interface ChannelAccess {
  /**
   * The channel that a join with this target leads to. Asked before the join and once more after it: whoever takes the
   * right away meanwhile cannot see the user there yet. Throws INVALID_ARGUMENT for bad targets and for users who may not
   * be there.
   * @param userId null for the server, which may be anywhere
   */
  resolve(target: string, userId: string | null): Promise<Channel>;
  /** Throws INVALID_ARGUMENT when the user may not read the channel's history. */
  requireReader(channel: Channel, userId: string): Promise<void>;
  /** A session has come to the channel; `members` are all presences there, itself included. */
  joined?(channel: Channel, user: ChannelUser, members: readonly Presence[]): Promise<void>;
}

export interface ChannelUser {
  readonly id: string;
  readonly username: string;
}

const { Type } = nakama.realtime.ChannelJoin;

/** The rules of all kinds of channels; each feature sets those of its own kind while the node is built. */
export class ChannelAccesses {
  readonly #byKind = new Map<ChannelKind, ChannelAccess>();

  set(kind: ChannelKind, access: ChannelAccess): void {
    this.#byKind.set(kind, access);
  }

  of(kind: ChannelKind): ChannelAccess {
    const access = this.#byKind.get(kind);
    if (access === undefined) throw new Error(`nobody says who may use ${kind} channels`);
    return access;
  }

  /** The rules for joins of this type. Throws INVALID_ARGUMENT when there are none. */
  ofJoin(type: number): ChannelAccess {
    switch (type) {
      case Type.TYPE_UNSPECIFIED:
      case Type.ROOM:
        return this.of('room');
      case Type.DIRECT_MESSAGE:
        return this.of('direct');
      case Type.GROUP:
        return this.of('group');
      default:
        throw invalidArgument('Invalid channel type');
    }
  }
}
