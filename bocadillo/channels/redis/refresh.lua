-- Let a process live on, and take out what processes that died have left.
--
-- KEYS  1 until when processes live
-- ARGV  1 process  2 time-to-live in milliseconds, or 0 if the process is to end
--       3 where entries of a channel are: prefix  4 where those of a process are: prefix
-- Returns whether anything of the process was known, then of all that was taken out:
-- channel, id, entry, …
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ours = ARGV[4] .. ARGV[1]
local found = {redis.call('EXISTS', ours)}

-- The name of an entry is: bytes of the channel, a colon, the channel, the id.
local function parts(name)
  local digits = string.match(name, '^(%d+):')
  local first = #digits + 2
  return string.sub(name, first, first + digits - 1), string.sub(name, first + digits)
end

-- Keys outlive the last process by some times-to-live. Those of its channels are many: they
-- are told so by every ninth refresh or so. Other processes may have told them more.
local keys_live = ARGV[2] * 10
local function keep(key)
  if redis.call('PTTL', key) < keys_live then
    redis.call('PEXPIRE', key, keys_live)
  end
end

local over = {ARGV[1]}
if ARGV[2] ~= '0' then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  keep(KEYS[1])
  if redis.call('PTTL', ours) < keys_live * 0.7 then
    for _, name in ipairs(redis.call('SMEMBERS', ours)) do
      keep(ARGV[3] .. parts(name))
    end
    keep(ours)
  end
  over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
end

for _, process in ipairs(over) do
  for _, name in ipairs(redis.call('SMEMBERS', ARGV[4] .. process)) do
    local channel, id = parts(name)
    local entry = redis.call('HGET', ARGV[3] .. channel, id)
    if entry and string.match(entry, '^(%S+) ') == process then
      redis.call('HDEL', ARGV[3] .. channel, id)
      table.insert(found, channel)
      table.insert(found, id)
      table.insert(found, entry)
    end
  end
  redis.call('DEL', ARGV[4] .. process)
  redis.call('ZREM', KEYS[1], process)
end
return found
