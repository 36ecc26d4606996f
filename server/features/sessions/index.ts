import { subsystem } from '../../platform/log.ts';
import { EnvelopeFrame } from '../../wire/envelope.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import { Control } from './control.ts';
import { singleSocketNotice } from './notices.ts';
import { Revocations } from './revocations.ts';
import { Sessions } from './sessions.ts';
import { Sockets } from './sockets.ts';
import { Tokens } from './tokens.ts';

export { bannedNotice } from './notices.ts';
export type { Sessions } from './sessions.ts';
export type { Sockets } from './sockets.ts';
export type { TokenClaims, TokenPair } from './tokens.ts';

const maxPurgeIntervalSec = 3600;

export interface SessionsFeature extends Feature {
  readonly sessions: Sessions;
  readonly sockets: Sockets;
}

/** Tokens, their revocation on all nodes, and the open sockets of this node. */
export function createSessions(kit: FeatureKit, { jobs }: { jobs: Jobs }): SessionsFeature {
  const { session: config, limits } = kit.config;
  const log = subsystem(kit.log, 'sessions');
  const lifetimes = { sessionTtlSec: config.token_expiry_sec, refreshTtlSec: config.refresh_token_expiry_sec };
  const tokens = new Tokens(
    {
      sessionKey: config.encryption_key,
      refreshKey: config.refresh_encryption_key,
      ...lifetimes,
      cacheSize: limits.token_cache,
    },
    kit.clock,
  );
  const control = new Control(kit.bus, log);
  const revocations = new Revocations({ db: kit.db, control, clock: kit.clock, lifetimes, log });
  const sockets = new Sockets(control, log);
  const sessions = new Sessions(tokens, revocations);
  const purgeIntervalSec = Math.min(2 * config.token_expiry_sec, maxPurgeIntervalSec);
  let purgeTimer: NodeJS.Timeout | undefined;
  jobs.every({ kind: 'revocations_purge', everySec: purgeIntervalSec, run: () => revocations.purge() });

  return {
    name: 'sessions',
    methods: [],
    sessions,
    sockets,
    async start() {
      await control.start();
      await revocations.start();
      kit.bus.onGap(() => revocations.reload());
      purgeTimer = setInterval(() => revocations.forget(tokens.now), 1000 * purgeIntervalSec);
      purgeTimer.unref();
    },
    async stop() {
      clearInterval(purgeTimer);
      await revocations.stop();
      await control.stop();
    },
    async socketOpened(session) {
      sockets.add(session);
      if (config.single_socket) {
        await sockets.disconnectOlder(session, EnvelopeFrame.of(singleSocketNotice(kit.clock.now())));
      }
    },
    async socketClosed(session) {
      sockets.remove(session);
    },
  };
}
