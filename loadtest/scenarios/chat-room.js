import exec from 'k6/execution';
import { Rate } from 'k6/metrics';
import { requireServers } from '../lib/players.js';
import { Room, roomCounts, roomMetrics, roomThresholds, roomTrends } from '../lib/room.js';
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
    ...roomThresholds,
    rooms_done: ['rate==1'],
    // Also when k6 cut rooms off, or the run was stopped.
    iterations: [`count==${rooms}`],
  },
};

const metrics = roomMetrics();
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
  return report(data, { title, trends: roomTrends, counts: roomCounts, seconds: talkSec });
}
