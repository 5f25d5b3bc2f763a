#pragma once

// FakeRedis: as much of a Redis server as the mesh talks to, on any Network (a simulated one, that
// is), with everything that can be wrong with one. For tests only.

#include <algorithm>
#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "io/network.h"
#include "io/task.h"
#include "wire/resp/reply_reader.h"

namespace datapunk::mesh::redis {

class FakeRedis {
  public:
    using Words = std::vector<std::string>;
    using Value = wire::resp::RespValue;
    using Type = wire::resp::RespType;

    FakeRedis(io::Network& network, const io::SocketAddress& at) : loop_(network.loop()) {
        auto listening = network.listen(at, {});
        if (listening) listener_ = *std::move(listening);
        if (listener_ != nullptr) accepting_.spawn(accept());
    }

    static Value text(std::string_view value) {
        return {.type = Type::text, .text = std::string(value)};
    }

    static Value integer(std::int64_t value) { return {.type = Type::integer, .integer = value}; }

    static Value error(std::string_view value) {
        return {.type = Type::error, .text = std::string(value)};
    }

    static Value array(std::vector<Value> items) {
        return {.type = Type::array, .items = std::move(items)};
    }

    struct Entry {
        std::string text;
        std::optional<Instant> until{};
        bool is_hash = false;
    };

    Entry* find(const std::string& key) {
        const auto found = keys.find(key);
        if (found == keys.end()) return nullptr;
        if (found->second.until && *found->second.until <= loop_.now()) {
            keys.erase(found);
            return nullptr;
        }
        return &found->second;
    }

    std::int64_t publish(const std::string& channel, const std::string& message) {
        std::int64_t heard = 0;
        for (const auto& session : sessions_) {
            if (!session->channels.contains(channel)) continue;
            session->out.push_back(array({text("message"), text(channel), text(message)}));
            session->wake.set();
            ++heard;
        }
        return heard;
    }

    // Every connection ends, as if the process had.
    void drop_all() {
        for (const auto& session : sessions_) session->stream->reset();
    }

    std::size_t sessions() const noexcept { return sessions_.size(); }

    std::size_t count(std::string_view command) const {
        return static_cast<std::size_t>(std::count_if(log.begin(), log.end(), [&](const auto& one) {
            return one.front() == command;
        }));
    }

    std::map<std::string, Entry> keys;
    std::vector<Words> log;             // every command, PING and the like included
    std::string password;               // not empty: AUTH is asked for
    bool is_silent = false;             // takes everything, answers nothing
    bool is_full = false;               // out of memory: refuses to store
    std::string garbage;                // not empty: sent instead of an answer
    Duration takes = Duration::zero();  // an answer
    // What else it can do; nothing = unknown command.
    std::function<std::optional<Value>(const Words&)> more;

  private:
    struct Session {
        Session(io::Loop& loop, io::StreamPtr s) : stream(std::move(s)), wake(loop) {}

        io::StreamPtr stream;
        io::Event wake;
        std::vector<Value> out;
        std::set<std::string> channels;
        bool is_let_in = false;
        bool is_over = false;
        io::TaskGroup tasks;  // last: destroyed first
    };

    io::Task<void> accept() {
        for (;;) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            sessions_.remove_if([](const auto& one) { return one->is_over; });
            sessions_.push_back(std::make_unique<Session>(loop_, *std::move(stream)));
            Session* session = sessions_.back().get();
            session->is_let_in = password.empty();
            session->tasks.spawn(write(session));
            session->tasks.spawn(read(session));
        }
    }

    io::Task<void> read(Session* session) {
        wire::resp::ReplyReader reader;
        std::array<char, 4096> buffer{};
        for (;;) {
            auto got = co_await session->stream->read(buffer, loop_.now() + std::chrono::hours(24));
            if (!got || *got == 0) break;
            reader.feed(std::string_view(buffer.data(), *got));
            while (reader.next()) {
                Words words;
                for (const Value& word : reader.take().items) words.push_back(word.text);
                log.push_back(words);
                if (is_silent) continue;
                std::vector<Value> answers = answer(*session, words);
                session->out.insert(session->out.end(), answers.begin(), answers.end());
            }
            session->wake.set();
        }
        session->stream->close();
        session->channels.clear();
        session->is_over = true;
    }

    io::Task<void> write(Session* session) {
        for (;;) {
            co_await session->wake.wait(loop_.now() + std::chrono::hours(24));
            session->wake.clear();
            if (takes > Duration::zero()) co_await io::sleep_for(loop_, takes);
            std::string bytes;
            for (const Value& value : std::exchange(session->out, {})) {
                if (garbage.empty()) {
                    wire::resp::append_value(bytes, value, false);
                } else {
                    bytes += garbage;
                }
            }
            if (bytes.empty()) continue;
            auto sent = co_await session->stream->write(
                io::Slices(bytes), loop_.now() + std::chrono::hours(24)
            );
            if (!sent) co_return;
        }
    }

    std::vector<Value> answer(Session& session, const Words& words) {
        if (words.empty()) return {error("ERR no command")};
        if (words[0] == "AUTH") {
            session.is_let_in = words.back() == password;
            return {session.is_let_in ? text("OK") : error("WRONGPASS invalid username-password")};
        }
        if (!session.is_let_in) return {error("NOAUTH Authentication required.")};
        if (words[0] == "SUBSCRIBE") {
            std::vector<Value> out;
            for (std::size_t i = 1; i < words.size(); ++i) {
                session.channels.insert(words[i]);
                const auto count = static_cast<std::int64_t>(session.channels.size());
                out.push_back(array({text("subscribe"), text(words[i]), integer(count)}));
            }
            return out;
        }
        if (words[0] == "PING" && !session.channels.empty()) {
            return {array({text("pong"), text("")})};
        }
        return {plain(words)};
    }

    Value plain(const Words& words) {
        if (words[0] == "PING") return text("PONG");
        if (words[0] == "SELECT") return text("OK");
        if (words[0] == "PUBLISH" && words.size() == 3) {
            return integer(publish(words[1], words[2]));
        }
        if (words[0] == "FLUSHALL") {
            keys.clear();
            return text("OK");
        }
        if (more) {
            if (auto value = more(words)) return *std::move(value);
        }
        const bool is_known = words.size() >= 2 && (words[0] == "GET" || words[0] == "SET");
        if (!is_known) return error("ERR unknown command '" + words[0] + "'");
        if (words[0] == "SET") {
            if (is_full) return error("OOM command not allowed when used memory > 'maxmemory'.");
            keys[words[1]] = {.text = words.size() > 2 ? words[2] : ""};
            return text("OK");
        }
        const Entry* entry = find(words[1]);
        if (entry == nullptr) return Value{};
        if (entry->is_hash)
            return error("WRONGTYPE Operation against a key holding the wrong kind");
        return text(entry->text);
    }

    io::Loop& loop_;
    std::unique_ptr<io::Listener> listener_;
    std::list<std::unique_ptr<Session>> sessions_;
    io::TaskGroup accepting_;  // last: destroyed first
};

}  // namespace datapunk::mesh::redis
