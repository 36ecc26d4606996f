import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { requireServers } from '../lib/players.js';
import { Room } from '../lib/room.js';
import { flag, number, prefix, seconds, servers, whole } from '../lib/settings.js';
import { report, trendStats } from '../lib/summary.js';

// Players in chat rooms, over protobuf sockets: joins, messages, deliveries, leaves.

const players = whole('VUS', 100);
const roomSize = whole('MEMBERS', 10);
const messagesPerSec = number('RATE', 1);
const talkSec = seconds('DURATION', '25s');
const isStored = flag('STORED', true);
const rooms = Math.ceil(players / roomSize);
/** Signing in, connecting, joining, waiting for late messages, leaving. */
const aroundTalkSec = 60;

export const options = {
  scenarios: {
    // A room is one virtual user of k6.
    rooms: {
      executor: 'per-vu-iterations',
      vus: rooms,
      iterations: 1,
      maxDuration: `${talkSec + aroundTalkSec}s`,
      gracefulStop: '0s',
    },
  },
  summaryTrendStats: trendStats,
  thresholds: {
    lost: ['count==0'],
    duplicated: ['count==0'],
    failed: ['count==0'],
    delivery: ['p(95)<500'],
    rooms_done: ['rate==1'],
    // Also when k6 cut rooms off, or the run was stopped.
    iterations: [`count==${rooms}`],
  },
};

const metrics = {
  connect: new Trend('connect', true),
  join: new Trend('join', true),
  ack: new Trend('ack', true),
  delivery: new Trend('delivery', true),
  leave: new Trend('leave', true),
  lag: new Trend('generator_lag', true),
  sent: new Counter('sent'),
  failed: new Counter('failed'),
  delivered: new Counter('delivered'),
  duplicated: new Counter('duplicated'),
  lost: new Counter('lost'),
};
const roomsDone = new Rate('rooms_done');

export function setup() {
  requireServers();
  return { run: Date.now().toString(36) };
}

export default async function chatRoom({ run }) {
  const index = exec.vu.idInTest - 1;
  const first = index * roomSize;
  const members = Array.from({ length: Math.min(roomSize, players - first) }, (_, offset) => first + offset);
  const room = new Room(`${prefix}-${run}-${index}`, members, isStored, metrics);
  try {
    await room.fill();
    await room.talk(messagesPerSec, talkSec);
    await room.empty();
    roomsDone.add(true);
  } catch (error) {
    roomsDone.add(false);
    console.error(`room ${index}: ${error.message}`);
    await room.disconnect();
  }
}

export function handleSummary(data) {
  const title = `${players} players in ${rooms} rooms on ${servers.length} server(s), ${messagesPerSec} messages/s each, ${talkSec} s`;
  const counts = ['sent', 'delivered', 'lost', 'duplicated', 'failed'];
  return report(data, {
    title,
    trends: ['connect', 'join', 'ack', 'delivery', 'leave', 'generator_lag'],
    counts,
    seconds: talkSec,
  });
}
