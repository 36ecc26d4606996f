import type { ValueOf } from './config-option.ts';
import { databaseOptions } from './config-options-database.ts';
import { iapOptions } from './config-options-iap.ts';
import { jobOptions } from './config-options-jobs.ts';
import { leaderboardOptions } from './config-options-leaderboard.ts';
import { limitOptions } from './config-options-limits.ts';
import { outboundOptions } from './config-options-outbound.ts';
import { redisOptions } from './config-options-redis.ts';
import { runtimeOptions } from './config-options-runtime.ts';
import { serverOptions } from './config-options-server.ts';
import { sessionOptions } from './config-options-session.ts';
import { socialOptions } from './config-options-social.ts';
import { socketOptions } from './config-options-socket.ts';
import { storageOptions } from './config-options-storage.ts';

/** Every option of the server, in the order of the documentation. */
export const options = [
  ...serverOptions,
  ...sessionOptions,
  ...socketOptions,
  ...databaseOptions,
  ...redisOptions,
  ...storageOptions,
  ...socialOptions,
  ...iapOptions,
  ...outboundOptions,
  ...leaderboardOptions,
  ...runtimeOptions,
  ...jobOptions,
  ...limitOptions,
] as const;

type AnyOption = (typeof options)[number];

/** `session.token_expiry_sec` and all the others. */
export type OptionKey = AnyOption['key'];

/** What follows the prefix in the keys that begin with it, up to the next dot. */
type NamesBelow<P extends string> = OptionKey extends infer K
  ? K extends `${P}${infer Rest}`
    ? Rest extends `${infer Head}.${string}`
      ? Head
      : Rest
    : never
  : never;

type ValuesBelow<P extends string> = {
  readonly [N in NamesBelow<P>]: `${P}${N}` extends OptionKey
    ? ValueOf<Extract<AnyOption, { readonly key: `${P}${N}` }>>
    : ValuesBelow<`${P}${N}.`>;
};

/** The values by group: `values.session.token_expiry_sec`, `values.social.steam.app_id`. */
export type ConfigValues = ValuesBelow<''>;

/** Any subset of the values, for tests. */
export type ConfigOverrides = Partial<{ readonly [O in AnyOption as O['key']]: ValueOf<O> }>;

/** Keys of Nakama that a configuration may hold without harm, because what they govern works without them here. */
export const ignoredKeys: Readonly<Record<string, string>> = {
  'logger.rotation': 'use logrotate or the container runtime',
  'logger.max_size': 'see logger.rotation',
  'logger.max_age': 'see logger.rotation',
  'logger.max_backups': 'see logger.rotation',
  'logger.local_time': 'see logger.rotation',
  'logger.compress': 'see logger.rotation',
  'metrics.reporting_freq_sec': 'metrics always show live values',
  'socket.read_buffer_size_bytes': 'buffers grow as needed',
  'socket.write_buffer_size_bytes': 'buffers grow as needed',
  'iap.google.refund_check_period_min': 'use iap.google.notifications_endpoint_id',
  'iap.google.package_name': 'receipts name their app',
  'leaderboard.callback_queue_size': 'due times are rows, so nothing queues up in memory',
  'leaderboard.callback_queue_workers': 'use jobs.workers',
  'database.max_open_conns': 'use database.pool_size',
  'database.max_idle_conns': 'use database.pool_size',
  'database.dns_scan_interval_sec': 'names are resolved whenever a connection opens',
};

/** Keys of Nakama for features that this version does not have yet. */
export const plannedKeys: Readonly<Record<string, readonly string[]>> = {
  metrics: ['custom_prefix', 'custom_scope_limit'],
  runtime: [
    'env',
    'path',
    'http_key',
    'lua_min_count',
    'lua_max_count',
    'lua_call_stack_size',
    'lua_registry_size',
    'lua_read_only_globals',
    'lua_api_stacktrace',
    'js_read_only_globals',
    'js_min_count',
    'js_max_count',
    'js_entrypoint',
    'min_count',
    'max_count',
    'call_stack_size',
    'registry_size',
    'read_only_globals',
  ],
  match: [
    'input_queue_size',
    'call_queue_size',
    'signal_queue_size',
    'join_attempt_queue_size',
    'deferred_queue_size',
    'join_marker_deadline_ms',
    'max_empty_sec',
    'label_update_interval_ms',
  ],
  tracker: ['event_queue_size'],
  matchmaker: ['max_tickets', 'interval_sec', 'max_intervals', 'rev_precision', 'rev_threshold'],
  party: ['label_update_interval_ms', 'idle_check_interval_ms'],
  console: [
    'port',
    'address',
    'max_message_size_bytes',
    'read_timeout_ms',
    'write_timeout_ms',
    'idle_timeout_ms',
    'username',
    'password',
    'token_expiry_sec',
    'signing_key',
    'disable_display_name_search',
    'mfa.storage_encryption_key',
    'mfa.admin_account_enabled',
  ],
  mfa: ['storage_encryption_key', 'admin_account_enabled'],
  satori: [
    'url',
    'api_key_name',
    'api_key',
    'signing_key',
    'server_key',
    'cache_disabled',
    'cache_mode',
    'cache_ttl_sec',
    'http_timeout_ms',
    'retry_count',
    'cache_enabled',
  ],
};
