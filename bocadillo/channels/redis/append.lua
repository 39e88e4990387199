-- Append to the history of a channel and publish: one step, as scripts are.
--
-- KEYS  1 the channel's facts  2 its history  3 the run of the server
-- ARGV  1 where to publish  2 a new epoch  3 the run as the caller knows it
--       4 most publications kept  5 most milliseconds kept  6 milliseconds the facts live
--       7 the envelope, from its kind on
local run = redis.call('GET', KEYS[3])
if not run then
  run = ARGV[3]
  redis.call('SET', KEYS[3], run)
end

-- A server that was restarted may have gone back to earlier offsets: they count no more.
local facts = redis.call('HMGET', KEYS[1], 'epoch', 'run', 'age')
local epoch = facts[1]
if not epoch or facts[2] ~= run then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', run)
end
if facts[3] ~= ARGV[5] then
  redis.call('HSET', KEYS[1], 'age', ARGV[5])
end
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
redis.call('PEXPIRE', KEYS[1], ARGV[6])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local envelope = 'b1 ' .. offset .. ' ' .. epoch .. ' ' .. string.format('%.0f', now) .. ' ' .. ARGV[7]

if tonumber(ARGV[4]) > 0 and tonumber(ARGV[5]) > 0 then
  redis.call('RPUSH', KEYS[2], envelope)
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
  -- What is over does not come back by limits that are longer than those until now.
  local age = math.min(ARGV[5], facts[3] or ARGV[5])
  local oldest = redis.call('LINDEX', KEYS[2], 0)
  while oldest and tonumber(string.match(oldest, '^b1 %d+ %S+ (%d+)')) <= now - age do
    redis.call('LPOP', KEYS[2])
    oldest = redis.call('LINDEX', KEYS[2], 0)
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
else
  redis.call('DEL', KEYS[2])
end

redis.call('PUBLISH', ARGV[1], envelope)
return {offset, epoch}
