import { api, type Method } from '../../wire/method.ts';
import type { Events } from './events.ts';

export function eventMethods(events: Events): Method[] {
  return [
    api(
      'Event',
      { auth: 'session' },
      ({ user, socket, clientAddress, clientPort }, { name, properties, timestamp }) => {
        const context = { user, sessionId: socket?.id ?? '', clientAddress, clientPort };
        const time = timestamp === null ? undefined : { seconds: Number(timestamp.seconds), nanos: timestamp.nanos };
        events.emit('event', context, { name, properties, timestamp: time, external: true });
        return {};
      },
    ),
  ];
}
