import type { ProcessNode } from '../server/testing/process-node.ts';
import type { Random } from '../server/testing/random.ts';
import { type Format, formats } from '../server/testing/socket.ts';
import { sleep } from '../server/testing/wait.ts';
import { payload } from '../server/wire/envelope.ts';
import { nodeName } from './churn-gauges.ts';
import { ChurnSocket } from './churn-socket.ts';
import type { Tally } from './churn-tally.ts';
import { type ChurnUser, loginOf, tokenOf } from './churn-users.ts';

/** What visitors share. */
export interface Scene {
  readonly nodes: readonly ProcessNode[];
  readonly users: readonly ChurnUser[];
  readonly random: Random;
  readonly tally: Tally;
}

/** Rooms to join; in the first of them messages are stored. */
export const rooms = 50;
const storedRooms = 10;
const longestStayMs = 3000;
const longestFollow = 5;

/** How visits end, and how many of a hundred do so. */
const endings = {
  'leaves the room and closes': 30,
  closes: 20,
  'destroys its connection': 15,
  'resets its connection': 10,
  'is gone before it is answered': 13,
  'is gone during the handshake': 5,
  'falls silent': 3,
  'logs out': 4,
} as const;
type Ending = keyof typeof endings;

/** Long enough for the node to give up on a socket that answers no pings. */
const silenceMs = 40_000;

interface Plan {
  readonly number: number;
  readonly ending: Ending;
  readonly node: ProcessNode;
  readonly user: ChurnUser;
  readonly format: Format;
  readonly status: boolean;
  readonly room: number;
}

/** One player's visit, from connecting to leaving in one way or another. Failures go to the tally. */
export async function visit(scene: Scene, number: number): Promise<void> {
  const { nodes, users, random, tally } = scene;
  const plan: Plan = {
    number,
    ending: pickEnding(random),
    node: nodes[number % nodes.length] as ProcessNode,
    user: random.pick(users),
    format: formats[Math.floor(number / nodes.length) % formats.length] as Format,
    status: random.chance(0.5),
    room: random.below(rooms),
  };
  tally.visits++;
  tally.ending(plan.ending);
  try {
    if (plan.ending === 'logs out') {
      const login = await step('sign in', loginOf(plan.user, plan.node));
      await connectAndStay(scene, plan, login.token);
      await step('logout', login.logout());
    } else {
      await connectAndStay(scene, plan, await step('token', tokenOf(plan.user, plan.node)));
    }
  } catch (error) {
    tally.error(error instanceof Error ? error.message : String(error));
  }
}

function pickEnding(random: Random): Ending {
  let left = random.below(100);
  for (const [ending, share] of Object.entries(endings)) {
    left -= share;
    if (left < 0) return ending as Ending;
  }
  return 'closes';
}

async function connectAndStay(scene: Scene, plan: Plan, token: string): Promise<void> {
  const { random, tally } = scene;
  const began = performance.now();
  const autoPong = plan.ending !== 'falls silent';
  const socket = new ChurnSocket(plan.node.port, token, { format: plan.format, status: plan.status, autoPong });
  if (plan.ending === 'is gone during the handshake') {
    socket.opened().catch(() => undefined);
    await sleep(random.below(4));
    socket.destroy();
    return;
  }
  await step('connect', socket.opened());
  tally.connected(nodeName(scene.nodes.indexOf(plan.node)), performance.now() - began);
  try {
    if (plan.ending === 'is gone before it is answered') await rush(scene, plan, socket);
    else await stay(scene, plan, socket);
  } finally {
    await end(socket, plan.ending);
    tally.open--;
  }
}

/** The request to join a room. */
export const joinOf = (room: number) =>
  payload('channel_join', { target: `room-${room}`, type: 1, persistence: { value: room < storedRooms } });

/** Asks for this and that, and waits for nothing. */
async function rush({ random, users }: Scene, { room }: Plan, socket: ChurnSocket): Promise<void> {
  const requests = [
    joinOf(room),
    payload('status_update', { status: { value: 'in a rush' } }),
    payload('status_follow', { user_ids: [random.pick(users).id, random.pick(users).id] }),
    joinOf(random.below(rooms)),
  ];
  for (const request of requests.slice(0, random.below(requests.length + 1))) socket.send(request);
  await sleep(random.below(8));
}

async function stay(scene: Scene, plan: Plan, socket: ChurnSocket): Promise<void> {
  const { random, users, tally } = scene;
  const { room, ending } = plan;
  const until = performance.now() + random.below(longestStayMs);
  const channel = await step('channel_join', socket.request(joinOf(room)));
  await chat(scene, plan, channel.id, socket);
  if (random.chance(0.3)) {
    const ids = Array.from({ length: 1 + random.below(longestFollow) }, () => random.pick(users).id);
    await step('status_follow', socket.request(payload('status_follow', { user_ids: ids })));
    if (random.chance(0.3)) {
      await step('status_unfollow', socket.request(payload('status_unfollow', { user_ids: ids.slice(0, 1) })));
    }
  }
  if (random.chance(0.2)) {
    const status = random.chance(0.3) ? null : { value: `busy ${random.below(100)}` };
    await step('status_update', socket.request(payload('status_update', { status })));
  }
  await sleep(Math.max(0, until - performance.now()));
  if (ending === 'leaves the room and closes') {
    await step('channel_leave', socket.request(payload('channel_leave', { channel_id: channel.id })));
  }
  if (socket.closed !== undefined) tally.error(`closed by the server: ${socket.closed.code} ${socket.closed.reason}`);
}

/** Sends a message and waits until it is acknowledged and heard. */
async function chat({ random, tally }: Scene, { number, room }: Plan, id: string, socket: ChurnSocket): Promise<void> {
  const content = `{"visit":${number},"text":"${'x'.repeat(random.below(200))}"}`;
  const began = performance.now();
  const heard = socket.hears(content);
  const isStored = room < storedRooms;
  const ack = socket.request(payload('channel_message_send', { channel_id: id, content }));
  await step('channel_message_send', ack).catch((error) => {
    if (isStored) tally.maybeStored++;
    throw error;
  });
  if (isStored) tally.stored++;
  await step('channel_message', heard);
  tally.messageMs.add(performance.now() - began);
}

async function end(socket: ChurnSocket, ending: Ending): Promise<void> {
  if (ending === 'falls silent') {
    const isEnded = await socket.ended(silenceMs);
    if (!isEnded) socket.destroy();
    if (!isEnded) throw new Error('a silent socket was not closed');
  } else if (ending === 'destroys its connection' || ending === 'is gone before it is answered') {
    socket.destroy();
  } else if (ending === 'resets its connection') {
    socket.reset();
  } else {
    socket.close();
  }
  if (!(await socket.ended(silenceMs))) throw new Error(`the socket stayed open: ${ending}`);
}

/** Names the step in what is thrown. */
async function step<T>(name: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
