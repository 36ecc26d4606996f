import exec from 'k6/execution';
import http from 'k6/http';
import { authorized, claimsOf, requireServers, serverOf, signInAll } from '../lib/players.js';
import { requestCounts, requestRecorder, requestThresholds } from '../lib/requests.js';
import { prefix, seconds, servers, whole } from '../lib/settings.js';
import { report, trendStats } from '../lib/summary.js';

// Players over REST among their friends and groups: list friends, find a group by its name, join it, list its members and
// the own groups, leave it, and again.

const vus = whole('VUS', 20);
const players = Math.max(whole('PLAYERS', 200), vus);
const friendsEach = 2 * Math.ceil(whole('FRIENDS', 20) / 2);
const groups = whole('GROUPS', 20);
const durationSec = seconds('DURATION', '30s');
const pageSize = 100;

const operations = ['friend_list', 'group_search', 'group_join', 'group_users', 'user_groups', 'group_leave'];

export const options = {
  scenarios: {
    players: { executor: 'constant-vus', vus, duration: `${durationSec}s` },
  },
  // Signs everybody in, and makes the friends and groups that are not there yet.
  setupTimeout: '10m',
  summaryTrendStats: trendStats,
  thresholds: requestThresholds(operations),
};

const passed = requestRecorder(operations);

export function setup() {
  requireServers();
  const tokens = signInAll(Array.from({ length: players }, (_, player) => player));
  makeFriends(tokens);
  for (let group = 0; group < groups; group++) makeGroup(tokens, group);
  return { tokens };
}

/** Everybody and those next to them, in a ring: each adds the others, and so accepts who has added them. */
function makeFriends(tokens) {
  const ids = tokens.map((token) => claimsOf(token).uid);
  const adds = tokens.map((token, player) => {
    const near = Array.from({ length: friendsEach / 2 }, (_, step) => step + 1).flatMap((step) => [step, -step]);
    const others = near.map((step) => ids[(player + step + players * friendsEach) % players]);
    // The ring may be shorter than the number of friends.
    const query = [...new Set(others)].filter((id) => id !== ids[player]).map((id) => `ids=${id}`);
    return ['POST', `${serverOf(player)}/v2/friend?${query.join('&')}`, null, authorized(token)];
  });
  for (let from = 0; from < adds.length; from += 20) {
    for (const { status, body } of http.batch(adds.slice(from, from + 20))) {
      if (status !== 200) exec.test.abort(`friends could not be made (status ${status}: ${body})`);
    }
  }
}

const nameOf = (group) => `${prefix}-group-${group}`;

function makeGroup(tokens, group) {
  const owner = group % players;
  const body = JSON.stringify({ name: nameOf(group), open: true, max_count: 2 * players });
  const made = http.post(`${serverOf(owner)}/v2/group`, body, authorized(tokens[owner]));
  // One of that name is left from another run.
  if (made.status !== 200 && made.status !== 409) exec.test.abort(`no group was made (status ${made.status})`);
}

export default function friendsAndGroups({ tokens }) {
  // No two virtual users share a player: who joins is in no group of another's.
  const perVu = Math.floor(players / vus);
  const player = (exec.vu.idInTest - 1) * perVu + (exec.vu.iterationInScenario % perVu);
  const server = serverOf(player);
  const params = authorized(tokens[player]);
  const { uid } = claimsOf(tokens[player]);
  const get = (path, name) => http.get(`${server}${path}`, { ...params, tags: { name } });
  const post = (path, name) => http.post(`${server}${path}`, null, { ...params, tags: { name } });

  passed('friend_list', get(`/v2/friend?limit=${pageSize}&state=0`, 'friends'), ({ friends = [] }) => {
    return friends.length >= Math.min(friendsEach, players - 1, pageSize);
  });

  // The owner of a group is not to leave it.
  const group = nameOf((player + 1 + (exec.vu.iterationInScenario % Math.max(1, groups - 1))) % groups);
  const search = get(`/v2/group?limit=10&name=${group}`, 'groups');
  if (!passed('group_search', search, ({ groups: found = [] }) => found[0]?.name === group)) return;
  const { id, creator_id } = search.json('groups.0');
  if (creator_id === uid) return;

  if (!passed('group_join', post(`/v2/group/${id}/join`, 'join'), () => true)) return;
  passed('group_users', get(`/v2/group/${id}/user?limit=${pageSize}`, 'users'), ({ group_users = [] }) => {
    return group_users.some(({ user }) => user.id === uid) || group_users.length === pageSize;
  });
  passed('user_groups', get(`/v2/user/${uid}/group?limit=${pageSize}`, 'own groups'), ({ user_groups = [] }) => {
    return user_groups.some((each) => each.group.id === id) || user_groups.length === pageSize;
  });
  passed('group_leave', post(`/v2/group/${id}/leave`, 'leave'), () => true);
}

export function handleSummary(data) {
  return report(data, {
    title: `${vus} players at a time with ${friendsEach} friends each and ${groups} groups on ${servers.length} server(s), ${durationSec} s`,
    trends: operations,
    counts: requestCounts,
    seconds: durationSec,
  });
}
