-- Read who is in a channel: id, entry, id, entry, …; writes nothing.
--
-- KEYS  1 who is in the channel  2 until when processes live
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lives = {}
local found = {}
local entries = redis.call('HGETALL', KEYS[1])
for index = 1, #entries, 2 do
  local process = string.match(entries[index + 1], '^(%S+) ')
  if lives[process] == nil then
    local lives_until = redis.call('ZSCORE', KEYS[2], process)
    lives[process] = lives_until ~= false and tonumber(lives_until) > now
  end
  if lives[process] then
    table.insert(found, entries[index])
    table.insert(found, entries[index + 1])
  end
end
return found
