import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EventContext, EventKind, GameEvent } from '../../features/events/index.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

interface Heard {
  readonly kind: EventKind;
  readonly context: EventContext;
  readonly event: GameEvent;
}

function listen(server: TestServer): Heard[] {
  const heard: Heard[] = [];
  for (const { app } of server.nodes) {
    for (const kind of ['event', 'session_start', 'session_end'] as const) {
      app.features.events.events.on(kind, (context, event) => void heard.push({ kind, context, event }));
    }
  }
  return heard;
}

describeDoors('events', {}, (doorway) => {
  let heard: Heard[];
  beforeAll(() => {
    heard = listen(doorway.server);
  });

  test('purchases #65: a handler sees who sent what, and that it comes from outside', async () => {
    const player = await signIn(doorway.server);
    const name = unique('event');
    const message = { name, properties: { level: '7' }, external: false, timestamp: '2026-01-02T03:04:05.006Z' };
    expect(await doorway.ok('Event', player.authorization, message)).toEqual({});
    const { kind, context, event } = await waitFor('the event', () => heard.find((each) => each.event.name === name));
    expect(kind).toBe('event');
    expect(context.user).toMatchObject({ id: player.id, username: player.username });
    expect(event).toEqual({
      name,
      properties: { level: '7' },
      timestamp: { seconds: Date.UTC(2026, 0, 2, 3, 4, 5) / 1000, nanos: 6_000_000 },
      external: true,
    });
  });

  test('purchases #66: an event may say nothing', async () => {
    const player = await signIn(doorway.server);
    expect(await doorway.ok('Event', player.authorization, {})).toEqual({});
    const { event } = await waitFor('the event', () => heard.find((each) => each.context.user?.id === player.id));
    expect(event).toEqual({ name: '', properties: {}, timestamp: undefined, external: true });
  });

  test('purchases #67: none without a session', async () => {
    expect(await doorway.call('Event', 'Bearer nonsense', {})).toMatchObject({ code: 16 });
  });
});

describe.each(serverKinds)('lifecycle events on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(() => server?.stop());

  test('a socket begins once, and ends once with a reason', async () => {
    const heard = listen(server);
    const player = await signIn(server);
    const own = (): Heard[] => heard.filter(({ context }) => context.user?.id === player.id);
    const socket = await TestSocket.connect(server, player.token, { query: { status: 'true' } });
    await waitFor('the start', () => own().length === 1);
    await socket.close();
    await waitFor('the end', () => own().length === 2);
    const [start, end] = own() as [Heard, Heard];
    expect(start).toMatchObject({ kind: 'session_start', event: { name: 'session_start', external: false } });
    expect(end).toMatchObject({ kind: 'session_end', event: { properties: { reason: expect.stringMatching(/./) } } });
    expect(end.context.sessionId).toBe(start.context.sessionId);

    const banned = await TestSocket.connect(server, player.token);
    await waitFor('the second start', () => own().length === 3);
    await server.features.accounts.accounts.ban([player.id]);
    await banned.waitClosed();
    await waitFor('the second end', () => own().length === 4);
    expect(own()[3]?.event.properties).toEqual({ reason: 'server-side session disconnect' });
  });
});
