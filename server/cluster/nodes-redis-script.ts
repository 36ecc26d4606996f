import type { Redis } from 'ioredis';
import type { GoneCause } from './nodes.ts';
import type { RedisLink } from './redis-link.ts';

/**
 * The register of nodes in Redis. Every operation is one step of one script, over these keys:
 *
 * - `nodes:live`: epoch by name; `nodes:info`: what else is known of them, as JSON;
 * - `nodes:seen`: the register's time at each node's last sign of life;
 * - `nodes:ended`: the last epochs that ended, in the order of their ends; `nodes:floors`: the last one by name;
 * - `nodes:meta`: `id` of this register (a new one after Redis was flushed), `clock`, `beat`, `epoch`, `sequence`,
 *   `version`, and `forgotten`, the highest epoch that is in `nodes:ended` no more.
 *
 * The register's time is that of Redis, but a pause in which no node at all was heard counts for at most `stepMs`. So
 * nobody is taken for dead because Redis itself stood still, was away, or had its clock set.
 *
 * Epochs are unique among all nodes: above the last one, and at least Redis's unix microseconds, so that they go on
 * rising after a flush. Numbers travel as text where Lua would round them to 14 digits.
 */
const script = `
local LIVE, INFO, SEEN, ENDED, FLOORS, META = unpack(KEYS)
local request = cjson.decode(ARGV[1])
local op, name = request.op, request.name
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local changed = false

local function text(number) return string.format('%.0f', number) end
local function meta(field) return tonumber(redis.call('HGET', META, field) or '0') end
local function set(field, number) redis.call('HSET', META, field, text(number)) end
local function live(who) return tonumber(redis.call('HGET', LIVE, who) or '0') end
local function owner(who)
  local info = redis.call('HGET', INFO, who)
  return info and cjson.decode(info).instance
end
local function floor(who)
  return math.max(tonumber(redis.call('HGET', FLOORS, who) or '0'), meta('forgotten'))
end

redis.call('HSETNX', META, 'id', request.fresh)
local id = redis.call('HGET', META, 'id')
local clock = meta('clock')
if op ~= 'look' then
  clock = clock + math.min(math.max(now - meta('beat'), 0), request.stepMs)
  set('clock', clock)
  set('beat', now)
end

local function enter(who, epoch, info)
  redis.call('HSET', LIVE, who, text(epoch))
  redis.call('HSET', INFO, who, info)
  redis.call('HSET', SEEN, who, text(clock))
  set('epoch', math.max(meta('epoch'), epoch))
  changed = true
end

local function finish(who, epoch, cause)
  local present = live(who)
  if present > 0 and present <= epoch then
    redis.call('HDEL', LIVE, who)
    redis.call('HDEL', INFO, who)
    redis.call('HDEL', SEEN, who)
  end
  local sequence = math.max(meta('sequence') + 1, micros)
  set('sequence', sequence)
  redis.call('ZADD', ENDED, text(sequence), cjson.encode({ name = who, epoch = text(epoch), cause = cause }))
  if floor(who) < epoch then redis.call('HSET', FLOORS, who, text(epoch)) end
  if redis.call('ZCARD', ENDED) > request.maxEnded then
    local oldest = cjson.decode(redis.call('ZPOPMIN', ENDED)[1])
    if redis.call('HGET', FLOORS, oldest.name) == oldest.epoch then redis.call('HDEL', FLOORS, oldest.name) end
    set('forgotten', math.max(meta('forgotten'), tonumber(oldest.epoch)))
  end
  changed = true
end

local since = 0
if request.register == id then since = request.since end

local state, epoch = 'in', request.epoch
if op == 'look' then
  state = 'out'
elseif op == 'leave' then
  state = 'out'
  if live(name) == epoch then finish(name, epoch, 'left') end
elseif op == 'join' then
  local before = live(name)
  if request.isNew then since = meta('sequence') end
  if before > 0 and owner(name) == request.instance then
    -- It did join, and never heard the answer.
    epoch = before
  elseif before > 0 and not request.isNew then
    state = 'replaced'
  else
    if before > 0 then finish(name, before, 'replaced') end
    epoch = math.max(meta('epoch') + 1, micros, epoch + 1, floor(name) + 1)
    enter(name, epoch, request.info)
  end
else
  if op == 'restore' then
    for _, node in ipairs(request.ended) do
      if floor(node.name) < node.epoch then finish(node.name, node.epoch, node.cause) end
    end
    for _, node in ipairs(request.nodes) do
      local before = live(node.name)
      if before < node.epoch and floor(node.name) < node.epoch then
        if before > 0 then finish(node.name, before, 'replaced') end
        enter(node.name, node.epoch, node.info)
      end
    end
  end
  local present = live(name)
  if present == epoch then
    redis.call('HSET', SEEN, name, text(clock))
    local seen = redis.call('HGETALL', SEEN)
    for i = 1, #seen, 2 do
      if clock - seen[i + 1] > request.deadMs then finish(seen[i], live(seen[i]), 'died') end
    end
  elseif present > epoch and owner(name) ~= request.instance then
    state = 'replaced'
  elseif present > epoch or floor(name) >= epoch then
    state = 'died'
  else
    state = 'unknown'
  end
end

if changed then redis.call('HINCRBY', META, 'version', 1) end
local version = meta('version')
local ended, nodes = {}, false
if op ~= 'look' then ended = redis.call('ZRANGEBYSCORE', ENDED, '(' .. text(since), '+inf') end
if request.register ~= id or request.version ~= version then
  nodes = {}
  local epochs = redis.call('HGETALL', LIVE)
  for i = 1, #epochs, 2 do
    nodes[#nodes + 1] = { epochs[i], epochs[i + 1], redis.call('HGET', INFO, epochs[i]) }
  end
end
return { state, text(epoch), id, text(meta('sequence')), version, changed and 1 or 0, ended, nodes }
`;

/** Ends that the register remembers. */
const maxEnded = 1024;

export interface EndedNode {
  readonly name: string;
  readonly epoch: number;
  readonly cause: GoneCause;
}

export interface RegisteredNode {
  readonly name: string;
  readonly epoch: number;
  /** JSON of NodeRecord. */
  readonly info: string;
}

export interface NodeRecord {
  /** Names the process, for an epoch whose owner never heard of it. */
  readonly instance: string;
  readonly startedAt: number;
  readonly address?: string;
}

export interface RegisterRequest {
  readonly op: 'join' | 'beat' | 'restore' | 'leave' | 'look';
  readonly name: string;
  readonly instance: string;
  /** The caller's last epoch. */
  readonly epoch: number;
  /** What the caller has seen: of which register, up to which end, and which version of the list. */
  readonly register: string;
  readonly since: number;
  readonly version: number;
  readonly stepMs: number;
  readonly deadMs: number;
  /** The name of a register that has none. */
  readonly fresh: string;
  /** For `join`: replaces whoever has the name, and hears nothing of what ended before. */
  readonly isNew?: boolean;
  readonly info?: string;
  /** For `restore`: what the caller knows, in case the register does not any more. */
  readonly nodes?: readonly RegisteredNode[];
  readonly ended?: readonly EndedNode[];
}

export interface RegisterReply {
  /** `unknown`: the register has never heard of this epoch, or has lost it. */
  readonly state: 'in' | 'out' | 'died' | 'replaced' | 'unknown';
  readonly epoch: number;
  readonly register: string;
  readonly sequence: number;
  readonly version: number;
  /** The others should look. */
  readonly changed: boolean;
  readonly ended: readonly EndedNode[];
  /** Absent when it is as the caller knows it. */
  readonly nodes: readonly RegisteredNode[] | undefined;
}

/** The hash of the live nodes: epoch (decimal) by name. */
export const liveNodesKey = (link: RedisLink): string => link.key('nodes:live');

export async function callRegister(link: RedisLink, redis: Redis, request: RegisterRequest): Promise<RegisterReply> {
  const others = ['info', 'seen', 'ended', 'floors', 'meta'].map((part) => link.key(`nodes:${part}`));
  const keys = [liveNodesKey(link), ...others];
  const argument = JSON.stringify({ ...request, maxEnded });
  const reply = (await redis.eval(script, keys.length, ...keys, argument)) as ScriptReply;
  const [state, epoch, register, sequence, version, changed, ended, nodes] = reply;
  return {
    state,
    epoch: Number(epoch),
    register,
    sequence: Number(sequence),
    version,
    changed: changed === 1,
    ended: ended.map((entry) => {
      const { name, epoch: endedEpoch, cause } = JSON.parse(entry) as { name: string; epoch: string; cause: GoneCause };
      return { name, epoch: Number(endedEpoch), cause };
    }),
    nodes: nodes?.map(([name, nodeEpoch, info]) => ({ name, epoch: Number(nodeEpoch), info })),
  };
}

type ScriptReply = [
  state: RegisterReply['state'],
  epoch: string,
  register: string,
  sequence: string,
  version: number,
  changed: number,
  ended: string[],
  nodes: [name: string, epoch: string, info: string][] | null,
];
