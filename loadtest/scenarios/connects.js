import exec from 'k6/execution';
import { Rate, Trend } from 'k6/metrics';
import { now } from '../lib/clock.js';
import { ReturningPlayer, requireServers, serverOf } from '../lib/players.js';
import { seconds, servers, whole } from '../lib/settings.js';
import { Socket } from '../lib/socket.js';
import { report, trendStats } from '../lib/summary.js';

// Players who come and go: connect, one ping, disconnect. Connects start at a fixed rate, however long they take.

const players = whole('VUS', 100);
const connectsPerSec = whole('RATE', 50);
const durationSec = seconds('DURATION', '25s');

export const options = {
  scenarios: {
    connects: {
      executor: 'constant-arrival-rate',
      rate: connectsPerSec,
      timeUnit: '1s',
      duration: `${durationSec}s`,
      preAllocatedVUs: players,
      gracefulStop: '30s',
    },
  },
  summaryTrendStats: trendStats,
  thresholds: {
    failed: ['rate<0.01'],
    connect: ['p(95)<500'],
    ping: ['p(95)<500'],
    // Connects that did not start, because all players were still at their last one.
    dropped_iterations: ['count==0'],
  },
};

const connect = new Trend('connect', true);
const ping = new Trend('ping', true);
const close = new Trend('close', true);
const failed = new Rate('failed');

/** The player of each virtual user, which keeps its token. */
let player;

export function setup() {
  requireServers();
}

export default async function connects() {
  const number = exec.vu.idInTest;
  player ??= new ReturningPlayer(number);
  try {
    const { token } = player;
    await comeAndGo(serverOf(number), token);
    failed.add(false);
  } catch (error) {
    failed.add(true);
    console.error(error.message);
  }
}

async function comeAndGo(server, token) {
  const startMs = now();
  const socket = await Socket.open(server, token);
  const openMs = now();
  connect.add(openMs - startMs);
  const { pong } = await socket.request({ ping: {} });
  if (pong === undefined) throw new Error('the ping was not answered by a pong');
  const pongMs = now();
  ping.add(pongMs - openMs);
  await socket.close();
  close.add(now() - pongMs);
}

export function handleSummary(data) {
  return report(data, {
    title: `${connectsPerSec} connects/s by ${players} players on ${servers.length} server(s), ${durationSec} s`,
    trends: ['connect', 'ping', 'close'],
    counts: ['iterations', 'dropped_iterations', 'failed'],
    seconds: durationSec,
  });
}
