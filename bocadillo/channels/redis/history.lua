-- Read the newest of a channel's history; writes nothing.
--
-- KEYS  1 the channel's facts  2 its history
-- ARGV  1 most publications, or -1 for all  2 the offset after which to read, or -1
-- Returns the newest offset and its epoch, then envelopes, oldest first.
local facts = redis.call('HMGET', KEYS[1], 'offset', 'epoch', 'age')
if not facts[1] then
  return {'0', ''}
end
local count = tonumber(ARGV[1])
if tonumber(ARGV[2]) >= 0 then
  count = facts[1] - ARGV[2]
elseif count < 0 then
  count = redis.call('LLEN', KEYS[2])
end
local found = {facts[1], facts[2]}
if count <= 0 then
  return found
end
local clock = redis.call('TIME')
local horizon = clock[1] * 1000 + math.floor(clock[2] / 1000) - facts[3]
for _, envelope in ipairs(redis.call('LRANGE', KEYS[2], -count, -1)) do
  if tonumber(string.match(envelope, '^b1 %d+ %S+ (%d+)')) > horizon then
    table.insert(found, envelope)
  end
end
return found
