#pragma once

// What Redis does in an exchange of tokens that processes share: two scripts, one for each kind.
// TIME in a script that writes needs Redis 5.

#include <string_view>

namespace datapunk::mesh::redis {

// A bucket (resilience::LeasedSlice). KEYS: the bucket, who asked. ARGV: rate a second, burst,
// wanted, returned, process, ms until one is forgotten. Answers what is granted, and how many
// processes share. A new bucket is full; time that went backwards (another Redis) has not passed.
inline constexpr std::string_view kBucketScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local seen = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(seen[1]), tonumber(seen[2])
if tokens == nil or at == nil then tokens, at = burst, now end
tokens = tokens + math.max(0, now - at) / 1000 * rate + tonumber(ARGV[4])
tokens = math.max(0, math.min(burst, tokens))
redis.call('ZADD', KEYS[2], now, ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[6]))
local who = redis.call('ZCARD', KEYS[2])
local share = math.max(1, math.floor(tokens * 2 / who))
local granted = math.min(tonumber(ARGV[3]), share, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - granted), 'at', now)
local keep = math.ceil(burst / math.max(rate, 1e-9)) * 1000 + 60000
redis.call('PEXPIRE', KEYS[1], math.min(keep, 2592000000))
redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[6]))
return {granted, who})";

// A sliding window (resilience::LeasedWindow). KEYS: what has begun, in slices by their number,
// with their width in ms and what all hold; who asked; what each holds (h) and has spent (s). ARGV:
// width, calls, wanted, held, spent, recent, process, ms until one is forgotten. Answers as above.
// Handed out is what is neither held nor begun within seventeen slices. Slices of another width
// (the policy has changed) or of the future (another Redis) count as begun now, as does what a
// process spent while it was not known here: of that no more than is recent.
inline constexpr std::string_view kWindowScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local width, calls = tonumber(ARGV[1]), tonumber(ARGV[2])
local mine, spent, recent = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local me, forget = ARGV[7], tonumber(ARGV[8])
local slice = math.floor(now / width)
local seen = redis.call('HGETALL', KEYS[1])
local was, held, old = width, 0, {}
for i = 1, #seen, 2 do
  local value = tonumber(seen[i + 1])
  if seen[i] == 'width' then was = value
  elseif seen[i] == 'held' then held = value
  else old[tonumber(seen[i])] = value end
end
local begun, counts = 0, {}
for number, count in pairs(old) do
  if (number + 17) * was > now then
    local to = slice
    if was == width then to = math.min(number, slice) end
    counts[to] = (counts[to] or 0) + count
    begun = begun + count
  end
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - forget)) do
  held = held - (tonumber(redis.call('HGET', KEYS[3], 'h' .. gone)) or 0)
  redis.call('HDEL', KEYS[3], 'h' .. gone, 's' .. gone)
  redis.call('ZREM', KEYS[2], gone)
end
redis.call('ZADD', KEYS[2], now, me)
local who = redis.call('ZCARD', KEYS[2])
local before = tonumber(redis.call('HGET', KEYS[3], 's' .. me))
local fresh = recent
if before ~= nil and before <= spent then fresh = math.min(recent, spent - before) end
counts[slice] = (counts[slice] or 0) + fresh
begun = begun + fresh
held = held - (tonumber(redis.call('HGET', KEYS[3], 'h' .. me)) or 0) + mine
local free = math.max(0, calls - begun - held)
local share = math.max(1, math.floor(free * 2 / who))
local granted = math.max(0, math.min(tonumber(ARGV[3]), share, free))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'width', width, 'held', math.max(0, held + granted))
for number, count in pairs(counts) do
  if count > 0 then redis.call('HSET', KEYS[1], string.format('%.0f', number), count) end
end
redis.call('HSET', KEYS[3], 'h' .. me, mine + granted, 's' .. me, spent)
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], width * 17 + forget) end
return {granted, who})";

}  // namespace datapunk::mesh::redis
