import type { Logger } from 'pino';
import type { Bus } from '../cluster/bus.ts';
import type { PresenceTracker } from '../cluster/presence.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Database } from '../store/database.ts';
import type { Method } from '../wire/method.ts';
import type { SocketSession } from '../wire/session.ts';

/** What every feature may build on; the application makes one per node. */
export interface FeatureKit {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly bus: Bus;
  readonly presence: PresenceTracker;
}

/** What the handshake said besides the token. */
export interface SocketOpening {
  /** The client asked to appear online (`status=true`). */
  readonly appearOnline: boolean;
}

/** One area of the server as the application sees it: methods for the registry, and a life. */
export interface Feature {
  readonly name: string;
  readonly methods: readonly Method[];
  start?(): Promise<void>;
  /** Called after all sockets are gone and no call is in flight. */
  stop?(): Promise<void>;
  /** A socket is open. The client's messages wait until all features are done with it. */
  socketOpened?(session: SocketSession, opening: SocketOpening): Promise<void>;
  /** A socket is gone or about to be; called exactly once for each that opened. */
  socketClosed?(session: SocketSession): Promise<void>;
}
