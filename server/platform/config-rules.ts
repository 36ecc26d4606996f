import type { ConfigValues } from './config-options.ts';
import { redisRules } from './config-options-redis.ts';
import { addressToUrl } from './config-parse.ts';
import { socialRules } from './config-social.ts';
import { workerRules } from './config-workers.ts';
import { routesOf } from './outbound-routes.ts';

/** What must hold between options before the server starts; each yields its complaint (spec: section 7, "!"). */
export const rules: readonly ((values: ConfigValues) => string | null)[] = [
  ({ session }) =>
    session.encryption_key === session.refresh_encryption_key
      ? 'session.encryption_key and session.refresh_encryption_key must differ'
      : null,
  ({ session }) =>
    session.single_match && !session.single_socket ? 'Single match cannot be enabled without single socket' : null,
  ({ session }) =>
    session.single_party && !session.single_socket ? 'Single party cannot be enabled without single socket' : null,
  ({ socket }) =>
    socket.ping_period_ms >= socket.pong_wait_ms ? 'socket.ping_period_ms must be less than socket.pong_wait_ms' : null,
  ({ socket }) =>
    (socket.ssl_certificate === '') !== (socket.ssl_private_key === '')
      ? 'socket.ssl_certificate and socket.ssl_private_key must be set together'
      : null,
  ({ socket }) =>
    socket.response_headers.some((header) => !/^[^=\s]+=/.test(header))
      ? 'socket.response_headers must be of the form Key=value'
      : null,
  ({ database }) =>
    database.address[0] !== undefined && addressToUrl(database.address[0]) === null
      ? 'database.address must be of the form user:password@host:port/name'
      : null,
  ({ database }) =>
    database.url !== '' && !/^postgres(ql)?:\/\/./i.test(database.url)
      ? 'database.url must be of the form postgresql://user:password@host:port/name'
      : null,
  // What is escaped in a path is unescaped before it is split into segments.
  ({ iap }) =>
    [iap.apple, iap.google].some(({ notifications_endpoint_id: id }) => id.includes('/') || /^\.\.?$/.test(id))
      ? 'iap.*.notifications_endpoint_id must be one segment of a path'
      : null,
  ({ outbound }) => {
    try {
      routesOf(outbound.routes);
      return null;
    } catch (error) {
      return `outbound.routes ${(error as Error).message}`;
    }
  },
  ...redisRules,
  ...socialRules,
  ...workerRules,
];
