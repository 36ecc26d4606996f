import { type Instant, truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import { splitIdentity } from './identities.ts';
import type { AccountRow, UserRow } from './queries.ts';

// Times of users are whole seconds on the wire (spec: http-auth-accounts.md, section 1.8).

/** The public view of a user. */
export function toUser(row: UserRow, online: boolean): Init<nakama.api.User> {
  return {
    id: row.id,
    username: row.username,
    display_name: row.display_name,
    avatar_url: row.avatar_url,
    lang_tag: row.lang_tag,
    location: row.location,
    timezone: row.timezone,
    metadata: row.metadata,
    apple_id: row.apple_id,
    facebook_id: row.facebook_id,
    facebook_instant_game_id: row.facebook_instant_game_id,
    google_id: row.google_id,
    gamecenter_id: row.gamecenter_id,
    steam_id: row.steam_id,
    online,
    edge_count: row.edge_count,
    create_time: truncateToSeconds(row.create_time),
    update_time: truncateToSeconds(row.update_time),
  };
}

/** The owner's view of an account; `disable_time` is never shown to clients. */
export function toAccount(
  row: AccountRow,
  online: boolean,
  disableTime: 'hidden' | 'shown' = 'hidden',
): Init<nakama.api.Account> {
  return {
    user: toUser(row, online),
    wallet: row.wallet,
    email: row.email,
    custom_id: row.custom_id,
    devices: row.devices.map((id) => ({ id })),
    verify_time: isEpoch(row.verify_time) ? null : truncateToSeconds(row.verify_time),
    disable_time: disableTime === 'hidden' || isEpoch(row.disable_time) ? null : truncateToSeconds(row.disable_time),
    identities: row.identities.map(splitIdentity),
  };
}

const isEpoch = (time: Instant): boolean => time.seconds === 0 && time.nanos === 0;
