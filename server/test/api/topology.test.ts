import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { restDoor } from '../../testing/doors.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { topology } from '../../testing/node.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { TestSocket } from '../../testing/socket.ts';
import { api } from '../../wire/method.ts';

// That the suites beside this one are run on what the topology says, or they would prove less than they seem to.
describe.each(serverKinds)('a server of the topology, on %s', (kind) => {
  const count = topology === 'cluster' ? 2 : 1;
  /** The nodes, as numbers, that had something to do. */
  const calls: number[] = [];
  const sockets: number[] = [];
  let server: TestServer;
  let player: Player;

  beforeAll(async () => {
    let started = 0;
    server = await startTestServer({
      kind,
      extraFeatures: () => {
        const node = started++;
        const echo = api('TestingEcho', { auth: 'session' }, (_ctx, message) => {
          calls.push(node);
          return message;
        });
        return [{ name: 'testing', methods: [echo], socketOpened: async () => void sockets.push(node) }];
      },
    });
    player = await signIn(server);
  });
  afterAll(() => server?.stop());

  const turns = (nodes: number[]): number[] => {
    for (const [index, node] of nodes.entries()) expect(node).toBe(nodes[index % count]);
    return [...new Set(nodes)].sort();
  };
  const everyNode = Array.from({ length: count }, (_, node) => node);

  test('has as many nodes', () => {
    expect(server.nodes).toHaveLength(count);
    expect(new Set(server.nodes.map(({ port }) => port)).size).toBe(count);
  });

  test('takes calls on its nodes in turn', async () => {
    const { authorization } = player;
    const door = restDoor(server);
    for (let n = 0; n < 2; n++) {
      expect((await request(server, 'POST', '/v2/testing/echo', { authorization, body: {} })).status).toBe(200);
      expect((await door.call('TestingEcho', authorization)).code).toBe(0);
    }
    expect(turns(calls)).toEqual(everyNode);
  });

  test('takes sockets on its nodes in turn; several nodes know them when they are open', async () => {
    const opened: TestSocket[] = [];
    for (let n = 1; n <= 4; n++) {
      const socket = await TestSocket.connect(server, player.token);
      if (count === 1) await socket.settle();
      opened.push(socket);
      expect(sockets).toHaveLength(n);
    }
    expect(turns(sockets)).toEqual(everyNode);
    expect(server.openSockets).toBe(4);
    await Promise.all(opened.map((socket) => socket.close()));
  });

  test('knows on each node what was done on another', async () => {
    const other = await signIn(server);
    const { authorization, token, refreshToken } = other;
    const body = { token, refresh_token: refreshToken };
    expect((await request(server, 'POST', '/v2/session/logout', { authorization, body })).status).toBe(200);
    for (let n = 0; n < 2 * count; n++) {
      expect((await request(server, 'GET', '/v2/account', { authorization })).status).toBe(401);
    }
  });
});
