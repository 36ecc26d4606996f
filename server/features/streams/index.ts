import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { Streams } from './streams.ts';
import { notificationStream } from './user-streams.ts';

export type { PresenceMessage } from './local-stream.ts';
export type { StreamOrder } from './orders.ts';
export type { Membership, Streams } from './streams.ts';
export { directMessageStream, notificationStream, statusStream } from './user-streams.ts';
export { toWirePresence, type WirePresence } from './wire-presence.ts';

export interface StreamsFeature extends Feature {
  readonly streams: Streams;
}

/** Fan-out and presence; every socket is on its user's notification stream from the start. */
export function createStreams(kit: FeatureKit): StreamsFeature {
  const streams = new Streams({
    bus: kit.bus,
    presence: kit.presence,
    clock: kit.clock,
    log: subsystem(kit.log, 'streams'),
    countEvent: () => kit.metrics.presenceEvent(),
  });
  return {
    name: 'streams',
    methods: [],
    streams,
    async start() {
      kit.bus.onGap(() => streams.resync());
    },
    async stop() {
      streams.close();
    },
    async socketOpened(session) {
      streams.sessionOpened(session);
      const hidden = { hidden: true, persistence: false, status: '' };
      await streams.join(session, notificationStream(session.user.id), hidden);
    },
    async socketClosed(session) {
      await streams.sessionClosed(session);
    },
  };
}
