import { maxEventPresences } from './presence.ts';

/**
 * What Redis does for presences, each script in one step. What it keeps, under the tracker's prefix:
 *
 * - `s:<stream key>`: a hash of the stream's presences by presenceKey (value: see presence-redis-codec.ts);
 * - `held:<epoch>:<node>`: what the node holds under that epoch, a sorted set of `<length of stream key>:<stream key>
 *   <presenceKey>` without scores, so that what is on one stream stands together;
 * - `marks`: a hash of `<epoch>:<node>`, there as long as Redis has what the node wrote. The value is the node's
 *   generation, which rises with every repair, so that a command that was long under way changes nothing any more;
 *   '~' behind it while the node compares, '!' while it writes everything anew;
 * - `ended:<node>`: the last epoch that was swept;
 * - `stamp`: rises with every change; `born`: made when the first node came;
 * - `reign`: which server (RedisPlace.instance) has answered since when, as a hash of `id` and the `stamp` at that time.
 *
 * A script first looks whether the calling node may still act. If not, the reply is [reason], and nothing has changed.
 */
const prelude = String.raw`
local NAME, EPOCH, GENERATION, PREFIX, TOPICS, NOTICES, FRAME, NODES = unpack(ARGV, 1, 8)
local EVENT_MAX = ${maxEventPresences}

local function stream_key(key) return PREFIX .. 's:' .. key end
local function held_key(epoch, name) return PREFIX .. 'held:' .. epoch .. ':' .. name end
local function held_member(key, field) return #key .. ':' .. key .. field end

local function ended(name) return tonumber(redis.call('GET', PREFIX .. 'ended:' .. name) or '-1') end
local function registered(name, epoch) return redis.call('HGET', NODES, name) == epoch end
local function mark() return redis.call('HGET', PREFIX .. 'marks', EPOCH .. ':' .. NAME) end

local function refusal()
  if ended(NAME) >= tonumber(EPOCH) then return {'swept'} end
  if not registered(NAME, EPOCH) then return {'unregistered'} end
  local found = mark()
  if not found then return {'lost'} end
  if found ~= GENERATION then return {'stale'} end
end

-- The last stamp; with it a node can tell whether news is newer than what it knows.
local function last_stamp() return tonumber(redis.call('GET', PREFIX .. 'stamp') or '0') end
local stamped
local function stamp()
  if not stamped then
    stamped = redis.call('INCR', PREFIX .. 'stamp')
    if stamped == 1 then
      -- Higher than before Redis lost everything.
      local time = redis.call('TIME')
      stamped = time[1] * 1000000 + time[2]
      redis.call('SET', PREFIX .. 'stamp', string.format('%.0f', stamped))
    end
  end
  return stamped
end

-- The parts of a stored value: epoch, node, user, encoded presence with its length before it.
local function parse(value)
  local epoch, node, user = struct.unpack('>dHH', value)
  local presence = 13 + node + user
  return string.format('%.0f', epoch), value:sub(13, 12 + node), value:sub(13 + node, presence - 1), value:sub(presence)
end
local function encoded(value)
  local _, _, _, presence = parse(value)
  return presence
end

local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end
local function wire(tag, bytes) return string.char(tag) .. varint(#bytes) .. bytes end

-- Publishes a StreamFrame (proto/cluster.proto).
local function publish(key, body) redis.call(PUBLISH, TOPICS .. key, FRAME .. wire(10, key) .. body) end

-- leaves and joins are encoded presences; mark is one more field of the frame, or nothing.
local SWEEP = '\64\1'
local function announce(key, leaves, joins, mark)
  local parts, count = {}, 0
  local function flush()
    if count > 0 then publish(key, wire(26, table.concat(parts)) .. (mark or '')) end
    parts, count = {}, 0
  end
  local function add(tag, presences)
    for _, presence in ipairs(presences) do
      if count == EVENT_MAX then flush() end
      count = count + 1
      parts[count] = tag .. presence
    end
  end
  local whole = #leaves + #joins <= EVENT_MAX
  add('\18', leaves)
  if not whole then flush() end
  add('\10', joins)
  flush()
end

local function insert(key, field, value)
  redis.call('HSET', stream_key(key), field, value)
  redis.call('ZADD', held_key(EPOCH, NAME), 0, held_member(key, field))
end

-- Returns the encoded presence. Whose it was is noted in others if it was not the caller's.
local function remove(key, field, value, others)
  local epoch, node, _, presence = parse(value)
  redis.call('HDEL', stream_key(key), field)
  redis.call('ZREM', held_key(epoch, node), held_member(key, field))
  if node ~= NAME or epoch ~= EPOCH then others[#others + 1] = field end
  return presence
end

-- Tells the nodes that hold presences that they hold them no more; without fields: any on the stream.
local function notify(key, fields)
  redis.call(PUBLISH, NOTICES, FRAME .. cjson.encode({
    stream = key, fields = fields, stamp = string.format('%.0f', stamp())
  }))
end
`;

/**
 * Arguments: '1' if the presences of the first stream are wanted; then for each stream its key, how many changes, and
 * for each of these action, presenceKey, value. Reply: 'ok', stamp, results, presences. Actions and their results:
 *
 * - add: 1, or the value of the presence that is there already;
 * - put: 1;
 * - del: 1, or 0 when it is not there;
 * - restore: as put, but without an event when it is there already, and equal;
 * - leave: as del, but with a leave in any case, even if Redis knows of nothing;
 * - get: the value, or 0.
 */
const change = `
local refused = refusal()
if refused then return refused end

local actions = {}
function actions.add(at, field, value)
  local old = redis.call('HGET', stream_key(at.key), field)
  if old then return old end
  insert(at.key, field, value)
  table.insert(at.joins, encoded(value))
  return 1
end
function actions.put(at, field, value)
  local old = redis.call('HGET', stream_key(at.key), field)
  if old then table.insert(at.leaves, remove(at.key, field, old, {})) end
  insert(at.key, field, value)
  table.insert(at.joins, encoded(value))
  return 1
end
function actions.del(at, field)
  local old = redis.call('HGET', stream_key(at.key), field)
  if not old then return 0 end
  table.insert(at.leaves, remove(at.key, field, old, at.others))
  return 1
end
function actions.restore(at, field, value)
  local old = redis.call('HGET', stream_key(at.key), field)
  if not old or encoded(old) ~= encoded(value) then return actions.put(at, field, value) end
  remove(at.key, field, old, {})
  insert(at.key, field, value)
  return 1
end
function actions.leave(at, field, value)
  local found = actions.del(at, field)
  if found == 0 then table.insert(at.leaves, encoded(value)) end
  return found
end
function actions.get(at, field) return redis.call('HGET', stream_key(at.key), field) or 0 end

local first, results, place = ARGV[10], {}, 10
while place <= #ARGV do
  local at = {key = ARGV[place], leaves = {}, joins = {}, others = {}}
  local count = tonumber(ARGV[place + 1])
  place = place + 2
  for _ = 1, count do
    results[#results + 1] = actions[ARGV[place]](at, ARGV[place + 1], ARGV[place + 2])
    place = place + 3
  end
  if #at.leaves + #at.joins > 0 then stamp() end
  announce(at.key, at.leaves, at.joins)
  if #at.others > 0 then notify(at.key, at.others) end
end
return {'ok', stamped or last_stamp(), results, ARGV[9] == '1' and redis.call('HVALS', stream_key(first)) or {}}
`;

/** Arguments: stream key, pattern that presenceKeys of the user match, user. Reply: 'ok', stamp, presenceKeys. */
const removeUser = `
local refused = refusal()
if refused then return refused end
local key, pattern, user = ARGV[9], ARGV[10], ARGV[11]

local found, cursor = {}, '0'
repeat
  local page = redis.call('HSCAN', stream_key(key), cursor, 'MATCH', pattern, 'COUNT', 1000)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local _, _, owner = parse(page[2][i + 1])
    if owner == user then found[page[2][i]] = page[2][i + 1] end
  end
until cursor == '0'

local fields, leaves, others = {}, {}, {}
for field, value in pairs(found) do
  fields[#fields + 1] = field
  leaves[#leaves + 1] = remove(key, field, value, others)
end
if #fields > 0 then stamp() end
announce(key, leaves, {})
if #others > 0 then notify(key, others) end
return {'ok', stamped or last_stamp(), fields}
`;

/** Arguments: stream key. Reply: 'ok', stamp, number of presences. */
const close = String.raw`
local refused = refusal()
if refused then return refused end
local key = ARGV[9]

local presences, others = redis.call('HGETALL', stream_key(key)), {}
for i = 1, #presences, 2 do remove(key, presences[i], presences[i + 1], others) end
if #presences > 0 then stamp() end
publish(key, '\32\1')
if #others > 0 then notify(key, nil) end
return {'ok', stamped or last_stamp(), #presences / 2}
`;

/**
 * One batch. Arguments: node, its last epoch, '1' if only in case that it is not registered, presences in a batch, how
 * long the end is remembered. Reply: 'ok', stamp, number of presences removed, 1 if there may be more.
 */
const sweep = `
local refused = refusal()
if refused then return refused end
local target, last, orphan, limit, memory = ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1', tonumber(ARGV[12]), ARGV[13]
if orphan and registered(target, ARGV[10]) then return {'ok', 0, 0, 0} end

-- From here on it cannot write any more.
redis.call('SET', PREFIX .. 'ended:' .. target, string.format('%.0f', math.max(last, ended(target))), 'PX', memory)

local function split(member)
  local length, rest = string.match(member, '^(%d+):(.*)$')
  return rest:sub(1, length), rest:sub(length + 1)
end

-- What belongs to one stream stays in one batch if it fits.
local function batch(index)
  local members = redis.call('ZRANGE', index, 0, limit)
  if #members <= limit then return members end
  local cut = split(members[#members])
  local from = limit
  if cut ~= split(members[1]) then
    while split(members[from]) == cut do from = from - 1 end
  end
  for i = #members, from + 1, -1 do members[i] = nil end
  return members
end

local function empty(epoch, index, members)
  local removed, key, leaves = 0, nil, {}
  for _, member in ipairs(members) do
    local stream, field = split(member)
    if stream ~= key then
      if key then announce(key, leaves, {}, SWEEP) end
      key, leaves = stream, {}
    end
    local value = redis.call('HGET', stream_key(key), field)
    local owner_epoch, owner
    if value then owner_epoch, owner = parse(value) end
    if owner == target and owner_epoch == epoch then
      leaves[#leaves + 1] = remove(key, field, value, {})
      removed = removed + 1
    else
      redis.call('ZREM', index, member)
    end
  end
  announce(key, leaves, {}, SWEEP)
  return removed
end

for _, held in ipairs(redis.call('HKEYS', PREFIX .. 'marks')) do
  local epoch, name = string.match(held, '^(%d+):(.*)$')
  if name == target and tonumber(epoch) <= last then
    local index = held_key(epoch, name)
    local members = batch(index)
    if #members > 0 then return {'ok', stamp(), empty(epoch, index, members), 1} end
    redis.call('HDEL', PREFIX .. 'marks', held)
  end
end
return {'ok', last_stamp(), 0, 0}
`;

/**
 * The node begins a repair under a new generation: the GENERATION of the call. Arguments: the highest stamp it has
 * seen, on which server that was, which server this is. Reply: 'ok', stamp, when Redis was last empty, '~' if it has
 * what the node wrote, else '!'.
 *
 * A server that took over may not have got the last changes. Nodes write to it only after they have attached, so the
 * stamp that the first one finds is how far it had got, however many changes there are when others come.
 */
const attach = `
if ended(NAME) >= tonumber(EPOCH) then return {'swept'} end
if not registered(NAME, EPOCH) then return {'unregistered'} end
local last, found = last_stamp(), mark()
-- The call itself was long under way.
if found and tonumber(string.match(found, '^%d+')) > tonumber(GENERATION) then return {'stale'} end
local seen, seen_on, server, reign = tonumber(ARGV[9]), ARGV[10], ARGV[11], PREFIX .. 'reign'
if redis.call('HGET', reign, 'id') ~= server then
  redis.call('HSET', reign, 'id', server, 'stamp', string.format('%.0f', last))
end
local kept = last
if seen_on ~= server then kept = tonumber(redis.call('HGET', reign, 'stamp')) end
local state = '~'
if not found or found:sub(-1) == '!' or kept < seen then state = '!' end
redis.call('HSET', PREFIX .. 'marks', EPOCH .. ':' .. NAME, GENERATION .. state)
local time = redis.call('TIME')
redis.call('SET', PREFIX .. 'born', time[1] .. '.' .. time[2], 'NX')
return {'ok', last, redis.call('GET', PREFIX .. 'born'), state}
`;

/** The repair is done. Arguments: the generation without what stands behind it. Reply: 'ok', stamp. */
const ready = `
local refused = refusal()
if refused then return refused end
redis.call('HSET', PREFIX .. 'marks', EPOCH .. ':' .. NAME, ARGV[9])
return {'ok', last_stamp()}
`;

/** The node has nothing any more and goes. Reply: 'ok', stamp. */
const detach = `
local refused = refusal()
if refused then return refused end
if redis.call('EXISTS', held_key(EPOCH, NAME)) == 0 then
  redis.call('HDEL', PREFIX .. 'marks', EPOCH .. ':' .. NAME)
end
return {'ok', last_stamp()}
`;

const scripts = {
  presenceChange: change,
  presenceRemoveUser: removeUser,
  presenceClose: close,
  presenceSweep: sweep,
  presenceAttach: attach,
  presenceReady: ready,
  presenceDetach: detach,
} as const;

export type PresenceScript = keyof typeof scripts;

/** The scripts' texts by their names, publishing with that command. */
export const presenceScripts = (publish: 'PUBLISH' | 'SPUBLISH'): [name: string, lua: string][] =>
  Object.entries(scripts).map(([name, lua]) => [name, `local PUBLISH = '${publish}'\n${prelude}${lua}`]);
