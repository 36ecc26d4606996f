import exec from 'k6/execution';
import http from 'k6/http';
import { authorized, deviceIdOf, requireServers, serverOf, signIn, signInAll } from '../lib/players.js';
import { requestCounts, requestRecorder, requestThresholds } from '../lib/requests.js';
import { seconds, servers, whole } from '../lib/settings.js';
import { report, trendStats } from '../lib/summary.js';

// Players over REST: sign in, write an object of 200 bytes, read it back, get the account, and again.

const vus = whole('VUS', 20);
const playersPerVu = Math.ceil(whole('PLAYERS', 500) / vus);
const durationSec = seconds('DURATION', '30s');
const rampSec = durationSec / 6;
const valueBytes = 200;
const collection = 'loadtest';
const key = 'profile';

const operations = ['sign_in', 'storage_write', 'storage_read', 'account_get'];

export const options = {
  scenarios: {
    players: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: `${rampSec}s`, target: vus },
        { duration: `${durationSec - 2 * rampSec}s`, target: vus },
        { duration: `${rampSec}s`, target: 0 },
      ],
    },
  },
  // Registers every player who is not there yet.
  setupTimeout: '10m',
  summaryTrendStats: trendStats,
  thresholds: requestThresholds(operations),
};

const passed = requestRecorder(operations);

export function setup() {
  requireServers();
  signInAll(Array.from({ length: vus * playersPerVu }, (_, player) => player));
}

export default function restStorage() {
  // No two virtual users share a player: each reads what it wrote itself.
  const player = (exec.vu.idInTest - 1) * playersPerVu + (exec.vu.iterationInScenario % playersPerVu);
  const server = serverOf(player);

  const session = signIn(player);
  if (!passed('sign_in', session, (body) => typeof body.token === 'string')) return;
  const params = authorized(session.json('token'));

  const value = storedValue();
  const object = { collection, key, value, permission_read: 1, permission_write: 1 };
  const written = http.put(`${server}/v2/storage`, JSON.stringify({ objects: [object] }), params);
  if (!passed('storage_write', written, (body) => body.acks[0].version !== '')) return;

  const { version, user_id } = written.json('acks.0');
  const ids = JSON.stringify({ object_ids: [{ collection, key, user_id }] });
  const read = http.post(`${server}/v2/storage`, ids, params);
  passed('storage_read', read, ({ objects: [stored] }) => stored.version === version && sameJson(stored.value, value));

  const account = http.get(`${server}/v2/account`, params);
  passed('account_get', account, ({ devices }) => devices.some(({ id }) => id === deviceIdOf(player)));
}

function storedValue() {
  const value = { vu: exec.vu.idInTest, iteration: exec.vu.iterationInScenario, padding: '' };
  value.padding = 'x'.repeat(valueBytes - JSON.stringify(value).length);
  return JSON.stringify(value);
}

/** The database may order and space a value in its own way. */
function sameJson(text, other) {
  const [left, right] = [JSON.parse(text), JSON.parse(other)];
  return Object.keys(right).every((name) => left[name] === right[name]);
}

export function handleSummary(data) {
  return report(data, {
    title: `Up to ${vus} players at a time on ${servers.length} server(s), ${durationSec} s`,
    trends: operations,
    counts: requestCounts,
    seconds: durationSec,
  });
}
