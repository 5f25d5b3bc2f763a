#pragma once

// What SharedCache has Redis do in one step each. TIME inside a script that writes needs Redis 5.

#include <string_view>

namespace datapunk::mesh::discovery {

// KEYS: the set. Answers false, or {age in ms, set}.
inline constexpr std::string_view kFetchScript = R"(
local had = redis.call('HMGET', KEYS[1], 'stamp', 'set')
if not had[2] then return false end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return {string.format('%.0f', math.max(0, now - (tonumber(had[1]) or 0))), had[2]})";

// KEYS: the set. ARGV: age in ms, hash, time to live in ms. Answers 2: what is there is younger; 1:
// it is the same, and confirmed now; 0: it is not there, or another one.
inline constexpr std::string_view kConfirmScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local stamp = now - tonumber(ARGV[1])
local had = redis.call('HMGET', KEYS[1], 'stamp', 'hash')
local old = tonumber(had[1]) or 0
if old >= stamp and old <= now then return 2 end
if had[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', stamp))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1)";

// KEYS: the set. ARGV: age in ms, hash, time to live in ms, set, channel, notice. Answers 2: what
// is there is younger; 1: written, and published if it is another one.
inline constexpr std::string_view kStoreScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local stamp = now - tonumber(ARGV[1])
local had = redis.call('HMGET', KEYS[1], 'stamp', 'hash')
local old = tonumber(had[1]) or 0
if old >= stamp and old <= now then return 2 end
redis.call('HSET', KEYS[1], 'stamp', string.format('%.0f', stamp), 'hash', ARGV[2], 'set', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if had[2] ~= ARGV[2] then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return 1)";

}  // namespace datapunk::mesh::discovery
