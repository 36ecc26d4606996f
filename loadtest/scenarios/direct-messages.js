import exec from 'k6/execution';
import { Rate } from 'k6/metrics';
import { DIRECT_MESSAGE } from '../lib/envelope.js';
import { claimsOf, requireServers } from '../lib/players.js';
import { Room, roomCounts, roomMetrics, roomThresholds, roomTrends } from '../lib/room.js';
import { flag, number, prefix, seconds, servers, whole } from '../lib/settings.js';
import { report, trendStats } from '../lib/summary.js';

// Players in pairs, over protobuf sockets, who write to each other: the channel of the two, which history keeps.

const pairs = Math.ceil(whole('VUS', 100) / 2);
const messagesPerSec = number('RATE', 2);
const talkSec = seconds('DURATION', '25s');
const isStored = flag('STORED', true);
/** Signing in, connecting, joining, waiting for late messages, leaving. */
const aroundTalkSec = 60;

export const options = {
  scenarios: {
    // A pair is one virtual user of k6.
    pairs: {
      executor: 'per-vu-iterations',
      vus: pairs,
      iterations: 1,
      maxDuration: `${talkSec + aroundTalkSec}s`,
      gracefulStop: '0s',
    },
  },
  summaryTrendStats: trendStats,
  thresholds: { ...roomThresholds, pairs_done: ['rate==1'], iterations: [`count==${pairs}`] },
};

const metrics = roomMetrics();
const pairsDone = new Rate('pairs_done');

export function setup() {
  requireServers();
}

export default async function directMessages() {
  const index = exec.vu.idInTest - 1;
  // Neighbours, so that with two servers the two are on different ones.
  const players = [2 * index, 2 * index + 1];
  const joinsOf = (tokens) =>
    [...tokens].reverse().map((token) => ({ target: claimsOf(token).uid, type: DIRECT_MESSAGE }));
  const pair = new Room(`${prefix}-pair-${index}`, players, isStored, metrics, joinsOf);
  try {
    await pair.fill();
    await pair.talk(messagesPerSec, talkSec);
    await pair.empty();
    pairsDone.add(true);
  } catch (error) {
    pairsDone.add(false);
    console.error(`pair ${index}: ${error.message}`);
    await pair.disconnect();
  }
}

export function handleSummary(data) {
  const title = `${pairs} pairs on ${servers.length} server(s), ${messagesPerSec} messages/s each player, ${talkSec} s`;
  return report(data, { title, trends: roomTrends, counts: roomCounts, seconds: talkSec });
}
