-- Enter a connection in a channel.
--
-- KEYS  1 who is in the channel  2 what this process has entered  3 until when processes live
-- ARGV  1 id  2 process  3 time-to-live in milliseconds  4 the entry's name among those of
--       the process  5 info
-- Returns whether it was not in before, and since when it is, in milliseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then
  redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[2])
end
-- Keys outlive the last process by some times-to-live; see refresh.lua, which puts it off.
local keys_live = ARGV[3] * 10
local function keep(key)
  if redis.call('PTTL', key) < keys_live then
    redis.call('PEXPIRE', key, keys_live)
  end
end
local since, is_new = string.format('%.0f', now), 1
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local process, before = string.match(known, '^(%S+) (%d+) ')
  local lives_until = redis.call('ZSCORE', KEYS[3], process)
  if lives_until and tonumber(lives_until) > now then
    since, is_new = before, 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. since .. ' ' .. ARGV[5])
redis.call('SADD', KEYS[2], ARGV[4])
keep(KEYS[1])
keep(KEYS[3])
-- What the process has entered goes no later than what it has entered there.
if redis.call('PTTL', KEYS[2]) < 0 then
  redis.call('PEXPIRE', KEYS[2], keys_live)
end
return {is_new, since}
