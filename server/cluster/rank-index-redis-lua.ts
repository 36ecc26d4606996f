/*
 * What Redis does for rank indexes, each script in one step. The keys of a set share a hash tag, its name:
 *
 * - m: a hash, there as long as the index is: e (incarnation), i (the Redis that it was made in), s ('b' while it is
 *   built, 'r' ready), l (until when the builder's lease lasts, ms), n (entries), t (entries of removed records);
 * - z: the members, h: the values by owner (see rank-index-redis-codec.ts);
 * - d: owners of removed records by when that was, ms.
 *
 * Besides: `ranks:sets`, the names of all sets by the end of their period, `ranks:board:<board>`, the ends of a board's
 * periods, and `ranks:writers:<epoch>:<node>`, the sets that a node has announced.
 *
 * Versions are compared as numbers: Lua compares strings as the locale has it. A double holds them exactly.
 */

/** How long an index remembers that a record was removed: longer than any write may take to get here. */
export const tombstoneMs = 600_000;
/** Removed records that an index remembers; with more of them it is not worth keeping. */
export const maxTombstones = 200_000;
/** Of these so many are forgotten with each removal. */
const forgottenAtOnce = 4;

const prelude = `
local M, Z, H, D = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local INSTANCE = ARGV[1]
local incarnation, state, entries, tombstones

-- Whether there is an index. One that has lost a part of itself is none: that happens when Redis may evict keys.
local function find()
  local meta = redis.call('HMGET', M, 'e', 'i', 's', 'n', 't')
  if not meta[1] or meta[2] ~= INSTANCE then return false end
  incarnation, state, entries, tombstones = meta[1], meta[3], tonumber(meta[4]), tonumber(meta[5])
  if redis.call('ZCARD', Z) == entries and redis.call('HLEN', H) == entries + tombstones then return true end
  redis.call('DEL', M)
  return false
end
local function ready() return find() and state == 'r' end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function integer(number) return string.format('%.0f', number) end
local function member(value, owner) return value:sub(12) .. owner end
`;

const changing = `
local function version(value) return struct.unpack('>I7I4', value) end
local function is_live(value) return #value > 11 end
-- Less than 0 when a is the older one.
local function compare(a, b)
  local created, writes = version(a)
  local other_created, other_writes = version(b)
  if created ~= other_created then return created - other_created end
  return writes - other_writes
end
`;

/**
 * Arguments: instance, incarnation, '1' for descending ranks, tombstone time in ms, most tombstones; then for each change
 * its kind, owner, value, and for `clear` the value that was seen. Reply: 'absent'; or 'moved' and the incarnation; or
 * 'applied', 1 if ready, and for each change the rank or, in doubt, the value that is there.
 */
const apply = `
${prelude}${changing}
if not find() then return {'absent'} end
if incarnation ~= ARGV[2] then return {'moved', incarnation} end
local rank_command = ARGV[3] == '1' and 'ZREVRANK' or 'ZRANK'
local tombstone_ms, most_tombstones = tonumber(ARGV[4]), tonumber(ARGV[5])
local had_entries, had_tombstones = entries, tombstones

local function put(owner, value, old)
  redis.call('HSET', H, owner, value)
  if old and is_live(old) then
    if old:sub(12) == value:sub(12) then return end
    redis.call('ZREM', Z, member(old, owner))
  else
    entries = entries + 1
    if old then
      tombstones = tombstones - 1
      redis.call('ZREM', D, owner)
    end
  end
  redis.call('ZADD', Z, 0, member(value, owner))
end

local function forget(at)
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', D, '-inf', integer(at), 'LIMIT', 0, ${forgottenAtOnce})) do
    redis.call('ZREM', D, owner)
    tombstones = tombstones - redis.call('HDEL', H, owner)
  end
end

local function remove(owner, value, old)
  if old and is_live(old) then
    redis.call('ZREM', Z, member(old, owner))
    entries = entries - 1
    tombstones = tombstones + 1
  elseif not old then
    tombstones = tombstones + 1
  end
  if old and compare(old, value) > 0 then value = old:sub(1, 11) end
  redis.call('HSET', H, owner, value)
  local at = now()
  redis.call('ZADD', D, integer(at), owner)
  -- While it is built, rows that were read long ago may still come.
  if state == 'r' then forget(at - tombstone_ms) end
end

-- Each returns the owner's value afterwards; or nothing, and true when in doubt.
local kinds = {}
function kinds.put(owner, value, old)
  if old then
    local difference = compare(value, old)
    if not is_live(old) then
      if difference <= 0 then return nil, true end
    else
      if version(value) ~= version(old) then return nil, true end
      if difference <= 0 then return old end
    end
  end
  put(owner, value, old)
  return value
end
function kinds.confirm(owner, value, old)
  if old and compare(value, old) <= 0 then
    if is_live(old) and version(value) == version(old) then return old end
    return nil, true
  end
  put(owner, value, old)
  return value
end
function kinds.remove(owner, value, old)
  if old and is_live(old) and version(value) ~= version(old) then
    if compare(value, old) > 0 then return nil, true end
    return old
  end
  remove(owner, value, old)
end
function kinds.clear(owner, value, old, seen)
  if old ~= seen or not is_live(old) then return old end
  remove(owner, value, old)
end

local reply = {'applied', state == 'r' and 1 or 0}
for i = 6, #ARGV, 4 do
  local kind, owner = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', H, owner)
  local value, doubt = kinds[kind](owner, ARGV[i + 2], old, ARGV[i + 3])
  local result = 0
  if doubt then
    result = old
  elseif state == 'r' and value and is_live(value) then
    result = redis.call(rank_command, Z, member(value, owner)) + 1
  end
  reply[#reply + 1] = result
end
if entries ~= had_entries or tombstones ~= had_tombstones then
  redis.call('HSET', M, 'n', integer(entries), 't', integer(tombstones))
end
if tombstones > most_tombstones then
  redis.call('DEL', M)
  return {'absent'}
end
return reply
`;

/**
 * Arguments: instance, '1' for descending, owners. Reply: nil when not ready; or how many entries there are, and a rank
 * for each of the owners, 0 for none.
 */
const standings = `
${prelude}
if not ready() then return false end
local rank_command = ARGV[2] == '1' and 'ZREVRANK' or 'ZRANK'
local reply = {entries}
for i = 3, #ARGV do
  local value = redis.call('HGET', H, ARGV[i])
  reply[i - 1] = value and #value > 11 and redis.call(rank_command, Z, member(value, ARGV[i])) + 1 or 0
end
return reply
`;

/** Arguments: instance, first and last position, '1' for descending. Reply: nil when not ready, or members. */
const slice = `
${prelude}
if not ready() then return false end
return redis.call(ARGV[4] == '1' and 'ZREVRANGE' or 'ZRANGE', Z, ARGV[2], ARGV[3])
`;

/** Arguments: instance, owners. Reply: nil when not ready, or the value of each. */
const seen = `
${prelude}
if not ready() then return false end
return redis.call('HMGET', H, unpack(ARGV, 2))
`;

/**
 * Further keys: the sets by their end, the board's ends, and the link's marker. Arguments: instance, new incarnation,
 * lease in ms, name, end of the period in seconds. Reply: 1 when begun.
 */
const begin = `
${prelude}
-- Redis has just lost everything, announcements too, and not all nodes can know by now.
local marker = redis.call('GET', KEYS[7])
if not marker or INSTANCE:sub(-#marker) ~= marker then return 0 end
local lease = tonumber(redis.call('HGET', M, 'l') or '0')
if find() and (state == 'r' or lease > now()) then return 0 end
redis.call('DEL', M)
redis.call('UNLINK', Z, H, D)
redis.call('HSET', M, 'e', ARGV[2], 'i', INSTANCE, 's', 'b', 'l', integer(now() + ARGV[3]), 'n', 0, 't', 0)
-- The nodes remove it sooner. Redis's clock may be another one.
if ARGV[5] ~= '0' then redis.call('EXPIREAT', M, integer(ARGV[5] + 3600)) end
redis.call('ZADD', KEYS[5], ARGV[5], ARGV[4])
redis.call('SADD', KEYS[6], ARGV[5])
return redis.call('EXISTS', M)
`;

/** Arguments: instance, incarnation, lease in ms; then owners and values. Reply: 1 unless the incarnation is gone. */
const load = `
${prelude}${changing}
if not find() or incarnation ~= ARGV[2] or state ~= 'b' then return 0 end
local owners = {}
for i = 4, #ARGV, 2 do owners[#owners + 1] = ARGV[i] end
local values, members, known = {}, {}, redis.call('HMGET', H, unpack(owners))
for i, owner in ipairs(owners) do
  local old, value = known[i], ARGV[3 + 2 * i]
  if not old or compare(value, old) > 0 then
    if not old then
      entries = entries + 1
    elseif is_live(old) then
      redis.call('ZREM', Z, member(old, owner))
    else
      entries = entries + 1
      tombstones = tombstones - 1
      redis.call('ZREM', D, owner)
    end
    values[#values + 1] = owner
    values[#values + 1] = value
    members[#members + 1] = 0
    members[#members + 1] = member(value, owner)
  end
end
if #values > 0 then
  redis.call('HSET', H, unpack(values))
  redis.call('ZADD', Z, unpack(members))
end
redis.call('HSET', M, 'n', integer(entries), 't', integer(tombstones), 'l', integer(now() + ARGV[3]))
return 1
`;

/** Arguments: instance, incarnation. Reply: 1 unless the incarnation is gone. */
const finish = `
${prelude}
if not find() or incarnation ~= ARGV[2] then return 0 end
redis.call('HSET', M, 's', 'r')
redis.call('HDEL', M, 'l')
return 1
`;

/** Arguments: instance, incarnation. What is left is removed when it begins again. */
const abandon = `
${prelude}
if find() and incarnation == ARGV[2] and state == 'b' then redis.call('DEL', M) end
return 1
`;

/** Fifth key: what the node has announced. Arguments: instance, name. Reply: the incarnation, or nothing. */
const announce = `
${prelude}
redis.call('SADD', KEYS[5], ARGV[2])
return find() and incarnation or ''
`;

const dropping = `
${prelude}
local function drop(sets, board, name, expiry)
  local had = redis.call('DEL', M)
  redis.call('UNLINK', Z, H, D)
  redis.call('ZREM', sets, name)
  redis.call('SREM', board, expiry)
  return had
end
`;

/** Further keys as for begin. Arguments: instance, name, end of the period. Reply: 1 when there was one. */
const drop = `
${dropping}
return drop(KEYS[5], KEYS[6], ARGV[2], ARGV[3])
`;

/** As drop, if the set is one of those announced under the seventh key, where it then is no more. */
const sweep = `
${dropping}
if redis.call('SREM', KEYS[7], ARGV[2]) == 0 then return 0 end
return drop(KEYS[5], KEYS[6], ARGV[2], ARGV[3])
`;

export const rankScripts = {
  ranksApply: { lua: apply, numberOfKeys: 4 },
  ranksStandings: { lua: standings, numberOfKeys: 4 },
  ranksSlice: { lua: slice, numberOfKeys: 4 },
  ranksSeen: { lua: seen, numberOfKeys: 4 },
  ranksBegin: { lua: begin, numberOfKeys: 7 },
  ranksLoad: { lua: load, numberOfKeys: 4 },
  ranksFinish: { lua: finish, numberOfKeys: 4 },
  ranksAbandon: { lua: abandon, numberOfKeys: 4 },
  ranksAnnounce: { lua: announce, numberOfKeys: 5 },
  ranksDrop: { lua: drop, numberOfKeys: 6 },
  ranksSweep: { lua: sweep, numberOfKeys: 7 },
} as const;
