import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';
import { now, sleep, within } from '../lib/clock.js';
import { authorized, claimsOf, requireServers, serverOf, signInAll } from '../lib/players.js';
import { number, seconds, servers, whole } from '../lib/settings.js';
import { Socket } from '../lib/socket.js';
import { report, trendStats } from '../lib/summary.js';

// Pairs of players who are online: one invites the other, who hears of it at once, finds the notification in the list,
// deletes it, and rejects the invite, of which the first one hears in turn.

const pairs = Math.ceil(whole('VUS', 50) / 2);
const roundsPerSec = number('RATE', 1);
const durationSec = seconds('DURATION', '25s');
const aroundSec = 60;
const noticeTimeoutMs = 5_000;

export const options = {
  scenarios: {
    // A pair is one virtual user of k6.
    pairs: {
      executor: 'per-vu-iterations',
      vus: pairs,
      iterations: 1,
      maxDuration: `${durationSec + aroundSec}s`,
      gracefulStop: '0s',
    },
  },
  summaryTrendStats: trendStats,
  thresholds: {
    lost: ['count==0'],
    failed: ['rate<0.01'],
    notice: ['p(95)<500'],
    list: ['p(95)<500'],
    delete: ['p(95)<500'],
    pairs_done: ['rate==1'],
    iterations: [`count==${pairs}`],
  },
};

const trends = {
  /** From the call that causes it to the socket of the other. */
  notice: new Trend('notice', true),
  /** The answer to that call. */
  change: new Trend('change', true),
  list: new Trend('list', true),
  delete: new Trend('delete', true),
  generator_lag: new Trend('generator_lag', true),
};
const rounds = new Counter('rounds');
const lost = new Counter('lost');
const failed = new Rate('failed');
const pairsDone = new Rate('pairs_done');

export function setup() {
  requireServers();
}

class Player {
  #server;
  #params;
  #waiting;
  id;

  static async connect(number, token) {
    const player = new Player();
    player.#server = serverOf(number);
    player.#params = authorized(token);
    player.id = claimsOf(token).uid;
    player.socket = await Socket.open(player.#server, token, ({ notifications: heard }) => player.#hear(heard));
    return player;
  }

  /** Resolves with the next notification, or with undefined when none comes in time. */
  next() {
    const heard = new Promise((resolve) => {
      this.#waiting = resolve;
    });
    return within(noticeTimeoutMs, 'a notification', heard).catch(() => undefined);
  }

  /** Answers the body; throws for another status than 200. */
  async call(trend, name, verb, path) {
    const startMs = now();
    const params = { ...this.#params, tags: { name } };
    const { status, body } = await http.asyncRequest(verb, `${this.#server}${path}`, null, params);
    trend.add(now() - startMs);
    failed.add(status !== 200);
    if (status !== 200) throw new Error(`${name} answers ${status}: ${body}`);
    return JSON.parse(body);
  }

  #hear(heard) {
    const [notification] = heard?.notifications ?? [];
    if (notification !== undefined) this.#waiting?.(notification);
  }
}

export default async function notifications() {
  const index = exec.vu.idInTest - 1;
  // Neighbours, so that with two servers the two are on different ones.
  const numbers = [2 * index, 2 * index + 1];
  const tokens = signInAll(numbers);
  const players = [];
  try {
    for (const [place, token] of tokens.entries()) players.push(await Player.connect(numbers[place], token));
    const [one, other] = players;
    // What another run has left.
    await one.call(trends.change, 'reject', 'DELETE', `/v2/friend?ids=${other.id}`);
    for (const player of players) await clear(player);
    await play(one, other);
    pairsDone.add(true);
  } catch (error) {
    pairsDone.add(false);
    console.error(`pair ${index}: ${error.message}`);
  }
  for (const { socket } of players) if (socket.isOpen) await socket.close();
}

async function play(one, other) {
  const periodMs = 1000 / roundsPerSec;
  const startMs = now() + Math.random() * periodMs;
  for (let round = 0; round < roundsPerSec * durationSec; round++) {
    const dueMs = startMs + round * periodMs;
    await sleep(dueMs - now());
    trends.generator_lag.add(Math.max(0, now() - dueMs));
    await change('invite', 'POST', one, other);
    await change('reject', 'DELETE', other, one);
    rounds.add(1);
  }
}

/** One changes what is between the two, and the other finds out. */
async function change(name, verb, one, other) {
  const startMs = now();
  const heard = other.next().then((notification) => {
    if (notification === undefined) lost.add(1);
    else trends.notice.add(now() - startMs);
    return notification;
  });
  await one.call(trends.change, name, verb, `/v2/friend?ids=${other.id}`);
  const notification = await heard;
  const { notifications: listed = [] } = await other.call(trends.list, 'list', 'GET', '/v2/notification?limit=100');
  if (notification !== undefined && !listed.some(({ id }) => id === notification.id)) {
    throw new Error('what was heard is not in the list');
  }
  await remove(other, listed);
}

async function clear(player) {
  for (;;) {
    const { notifications: listed = [] } = await player.call(trends.list, 'list', 'GET', '/v2/notification?limit=100');
    if (listed.length === 0) return;
    await remove(player, listed);
  }
}

async function remove(player, listed) {
  const ids = listed.map(({ id }) => `ids=${id}`).join('&');
  await player.call(trends.delete, 'delete', 'DELETE', `/v2/notification?${ids}`);
}

export function handleSummary(data) {
  return report(data, {
    title: `${pairs} pairs on ${servers.length} server(s), ${roundsPerSec} rounds/s each, ${durationSec} s`,
    trends: Object.keys(trends),
    counts: ['rounds', 'lost', 'failed'],
    seconds: durationSec,
  });
}
