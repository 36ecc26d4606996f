import type { Logger } from 'pino';
import type { Bus } from '../cluster/bus.ts';
import type { SharedCounters } from '../cluster/counters.ts';
import type { PresenceTracker } from '../cluster/presence.ts';
import type { RankIndex } from '../cluster/rank-index.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Outbound } from '../platform/outbound.ts';
import type { Database } from '../store/database.ts';
import type { DatabaseTime } from '../store/database-time.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Method } from '../wire/method.ts';
import type { RawRoute } from '../wire/raw-route.ts';
import type { SocketSession } from '../wire/session.ts';

/** What every feature may build on; the application makes one per node. */
export interface FeatureKit {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  /** What all nodes agree on: for periods and whatever else must not depend on one node's clock. */
  readonly time: DatabaseTime;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly bus: Bus;
  readonly presence: PresenceTracker;
  /** Limits over all nodes together. Never UNAVAILABLE: while Redis is away the node counts by itself. */
  readonly counters: SharedCounters;
  /** Ranks in memory, over all nodes; a node by itself has none. */
  readonly rankIndex?: RankIndex;
  /** HTTP to third parties. */
  readonly outbound: Outbound;
}

/** What the handshake said besides the token. */
export interface SocketOpening {
  /** The client asked to appear online (`status=true`). */
  readonly appearOnline: boolean;
}

/** What a feature keeps of a user. */
export interface UserData {
  /**
   * Removes what the deletion of the user's own row does not take along, in the transaction that goes on to delete it.
   * Features are asked in the order in which they lock: other users' rows first.
   */
  erase?(tx: Transaction, userId: string): Promise<void>;
  /** Lists of the export document. */
  readonly lists?: readonly ExportList[];
}

export interface ExportList {
  /** Its key in the document. */
  readonly key: string;
  /** The JSON text of each item; read from the database as it is asked for, since there may be any number. */
  items(userId: string): AsyncIterable<string>;
}

/** One area of the server as the application sees it: methods for the registry, and a life. */
export interface Feature {
  readonly name: string;
  readonly methods: readonly Method[];
  /** What is served over HTTP for third parties. */
  readonly rawRoutes?: readonly RawRoute[];
  readonly userData?: UserData;
  start?(): Promise<void>;
  /** Called after all sockets are gone and no call is in flight. */
  stop?(): Promise<void>;
  /** A socket is open. The client's messages wait until all features are done with it. */
  socketOpened?(session: SocketSession, opening: SocketOpening): Promise<void>;
  /**
   * A socket is gone or about to be; called exactly once for each that opened.
   * @param reason for logs and game code; not one of a fixed set.
   */
  socketClosed?(session: SocketSession, reason: string): Promise<void>;
}
