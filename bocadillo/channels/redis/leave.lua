-- Take a connection out of a channel, unless another process has entered it since.
--
-- KEYS  1 who is in the channel  2 what this process has entered
-- ARGV  1 id  2 process  3 the entry's name among those of the process
-- Returns the entry that was there, or nothing.
redis.call('SREM', KEYS[2], ARGV[3])
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and string.match(known, '^(%S+) ') == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return known
end
return false
