-- Let a process live on, and take out what processes that died have left.
--
-- KEYS  1 until when processes live
-- ARGV  1 process  2 time-to-live in milliseconds, or 0 if the process is to end
--       3 where entries of a channel are: prefix  4 where those of a process are: prefix
-- Returns whether the process was known, then of all that was taken out: channel, id, entry, …
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = {redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0}
if ARGV[2] ~= '0' then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
else
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
end

local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then
  over = {ARGV[1]}
end
for _, process in ipairs(over) do
  for _, name in ipairs(redis.call('SMEMBERS', ARGV[4] .. process)) do
    -- A name is: bytes of the channel, a colon, the channel, the id.
    local digits = string.match(name, '^(%d+):')
    local first = #digits + 2
    local channel = string.sub(name, first, first + digits - 1)
    local id = string.sub(name, first + digits)
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
