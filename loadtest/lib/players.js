import encoding from 'k6/encoding';
import exec from 'k6/execution';
import http from 'k6/http';
import { prefix, serverKey, servers } from './settings.js';

const parallelSignIns = 20;
const renewBeforeMs = 10_000;
const json = { 'Content-Type': 'application/json' };

/** The server that a player, by number, plays on. */
export function serverOf(player) {
  return servers[player % servers.length];
}

/** Players are the same in every run, so that a second one finds them registered. */
export function deviceIdOf(player) {
  return `${prefix}-player-${player}`;
}

function signInRequest(server, deviceId) {
  return {
    method: 'POST',
    url: `${server}/v2/account/authenticate/device?create=true`,
    body: JSON.stringify({ id: deviceId }),
    params: { headers: { ...json, Authorization: `Basic ${encoding.b64encode(`${serverKey}:`)}` } },
  };
}

/** Signs a player in by device. Answers the response, whatever it is. */
export function signIn(player) {
  const { url, body, params } = signInRequest(serverOf(player), deviceIdOf(player));
  return http.post(url, body, params);
}

/** Signs players in, several at once, and answers their tokens. Throws when one is refused. */
export function signInAll(players) {
  const tokens = [];
  for (let from = 0; from < players.length; from += parallelSignIns) {
    const batch = players.slice(from, from + parallelSignIns);
    const responses = http.batch(batch.map((player) => signInRequest(serverOf(player), deviceIdOf(player))));
    tokens.push(...responses.map(tokenOf));
  }
  return tokens;
}

/** Headers of a signed-in player. */
export function authorized(token) {
  return { headers: { ...json, Authorization: `Bearer ${token}` } };
}

/** A player that signs in once, and again only shortly before the token ends. */
export class ReturningPlayer {
  #player;
  #token = '';
  #renewAtMs = 0;

  constructor(player) {
    this.#player = player;
  }

  get token() {
    if (Date.now() >= this.#renewAtMs) {
      this.#token = tokenOf(signIn(this.#player));
      this.#renewAtMs = claimsOf(this.#token).exp * 1000 - renewBeforeMs;
    }
    return this.#token;
  }
}

/** The claims of a token, unverified. */
export function claimsOf(token) {
  return JSON.parse(encoding.b64decode(token.split('.')[1], 'rawurl', 's'));
}

/** Ends the run with a plain text when a server does not answer, or refuses the key. */
export function requireServers() {
  for (const server of servers) {
    const health = http.get(`${server}/healthcheck`, { timeout: '5s' });
    if (health.status !== 200) {
      exec.test.abort(`${server} does not answer (${reason(health)}). Start it, or name another one: -e URL=...`);
    }
    const { url, body, params } = signInRequest(server, deviceIdOf(0));
    const reply = http.post(url, body, params);
    if (reply.status === 401) exec.test.abort(`${server} refuses the server key. Name the right one: -e KEY=...`);
    if (reply.status !== 200) exec.test.abort(`${server} refuses a sign-in (${reason(reply)}).`);
  }
}

function tokenOf(response) {
  if (response.status !== 200) throw new Error(`sign-in failed: ${reason(response)}`);
  return response.json('token');
}

function reason(response) {
  return response.status === 0 ? response.error : `status ${response.status}: ${response.body}`;
}
