import { subsystem } from '../../platform/log.ts';
import { instantFromMillis } from '../../store/types.ts';
import type { SocketSession } from '../../wire/session.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { type EventKind, Events } from './events.ts';
import { eventMethods } from './methods.ts';

export type { EventContext, EventHandler, EventKind, Events, GameEvent } from './events.ts';

export interface EventsFeature extends Feature {
  readonly events: Events;
  /** Tells of a socket's end: a part of its own, because it comes after all others, as the start does. */
  readonly ends: Feature;
}

/** Events of clients, of game code, and of sockets that open and end, for game code to handle. */
export function createEvents(kit: FeatureKit): EventsFeature {
  const { runtime } = kit.config;
  const dropped = kit.metrics.counter('dropped_events', 'Events dropped because too many were waiting').child();
  const events = new Events({
    queueSize: runtime.event_queue_size,
    workers: runtime.event_queue_workers,
    log: subsystem(kit.log, 'events'),
    dropped: () => dropped.inc(),
  });
  const emit = (kind: EventKind, session: SocketSession, properties: Record<string, string>): void => {
    const { user, id: sessionId, clientAddress, clientPort } = session;
    const event = { name: kind, properties, timestamp: instantFromMillis(kit.clock.now()), external: false };
    events.emit(kind, { user, sessionId, clientAddress, clientPort }, event);
  };
  return {
    name: 'events',
    methods: eventMethods(events),
    events,
    async stop() {
      await events.close();
    },
    async socketOpened(session) {
      emit('session_start', session, {});
    },
    ends: {
      name: 'session ends',
      methods: [],
      async socketClosed(session, reason) {
        emit('session_end', session, { reason });
      },
    },
  };
}
