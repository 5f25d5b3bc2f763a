#pragma once

// What SharedCache's scripts do, for a FakeRedis, which speaks no Lua.
// tests/scenarios/test_cache_levels.py runs the scripts themselves. For tests only.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "core/strings.h"
#include "discovery/shared_cache_scripts.h"
#include "redis/fake_redis.h"

namespace datapunk::mesh::discovery {

class SharedScripts {
  public:
    SharedScripts(redis::FakeRedis& server, io::Loop& loop) : server_(server), loop_(loop) {
        server.more = [this](const redis::FakeRedis::Words& words) { return run(words); };
    }

    int fetched = 0;
    int confirmed = 0;
    int stored = 0;

  private:
    using Fake = redis::FakeRedis;

    std::optional<Fake::Value> run(const Fake::Words& words) {
        if (words[0] != "EVAL" || words.size() < 4) return std::nullopt;
        const std::string& key = words[3];
        Fake::Entry* had = server_.find(key);
        if (had != nullptr && had->is_hash) {
            return Fake::error("WRONGTYPE Operation against a key holding the wrong kind of value");
        }
        // stamp, hash, set
        std::vector<std::string> fields(3);
        if (had != nullptr) {
            const auto parts = core::split(had->text, '\n');
            for (std::size_t i = 0; i < 3 && i < parts.size(); ++i) fields[i] = parts[i];
        }
        const std::int64_t now =
            std::chrono::floor<std::chrono::milliseconds>(loop_.now().time_since_epoch()).count();
        const std::int64_t old = core::parse_number<std::int64_t>(fields[0]).value_or(0);
        if (words[1] == kFetchScript) {
            ++fetched;
            if (had == nullptr) return Fake::Value{};
            const std::int64_t age = std::max<std::int64_t>(0, now - old);
            return Fake::array({Fake::text(std::to_string(age)), Fake::text(fields[2])});
        }
        const std::int64_t stamp = now - *core::parse_number<std::int64_t>(words[4]);
        if (had != nullptr && old >= stamp && old <= now) return Fake::integer(2);
        const bool is_same = had != nullptr && fields[1] == words[5];
        if (words[1] == kConfirmScript) {
            ++confirmed;
            if (!is_same) return Fake::integer(0);
            put(key, std::to_string(stamp), fields[1], fields[2], words[6]);
            return Fake::integer(1);
        }
        if (server_.is_full) return Fake::error("OOM command not allowed");
        ++stored;
        put(key, std::to_string(stamp), words[5], words[7], words[6]);
        if (!is_same) server_.publish(words[8], words[9]);
        return Fake::integer(1);
    }

    void put(
        const std::string& key,
        const std::string& stamp,
        const std::string& hash,
        const std::string& set,
        const std::string& ttl_ms
    ) {
        const std::chrono::milliseconds ttl(*core::parse_number<std::int64_t>(ttl_ms));
        server_.keys[key] = {.text = stamp + "\n" + hash + "\n" + set, .until = loop_.now() + ttl};
    }

    Fake& server_;
    io::Loop& loop_;
};

}  // namespace datapunk::mesh::discovery
