#include "redis/redis_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "wire/resp/reply_reader.h"

namespace datapunk::mesh::redis {

namespace resp = wire::resp;

namespace {

constexpr std::size_t kShownBytesMax = 160;  // of a server's words, in an error

constexpr std::pair<std::string_view, Code> kCodes[] = {
    {"WRONGTYPE", Code::conflict},
    {"OOM", Code::exhausted},
    {"NOAUTH", Code::denied},
    {"WRONGPASS", Code::denied},
    {"NOPERM", Code::denied},
    {"NOSCRIPT", Code::not_found},
    {"LOADING", Code::unavailable},
    {"BUSY", Code::unavailable},
    {"READONLY", Code::unavailable},
    {"MASTERDOWN", Code::unavailable},
    {"MISCONF", Code::unavailable},
    {"CLUSTERDOWN", Code::unavailable},
    {"TRYAGAIN", Code::unavailable},
};

std::string greeting(const RedisConfig& config, std::size_t& replies) {
    std::string out;
    replies = 1;
    if (!config.password.empty()) {
        std::vector<std::string> words = {"AUTH"};
        if (!config.username.empty()) words.push_back(config.username);
        words.push_back(config.password);
        resp::append_command(out, words);
        ++replies;
    }
    if (config.database != 0) {
        resp::append_command(out, {"SELECT", std::to_string(config.database)});
        ++replies;
    }
    resp::append_command(out, {"PING"});
    return out;
}

io::Task<Result<>> greet(io::Stream& stream, RedisConfig config, Instant deadline) {
    std::size_t replies = 0;
    const std::string out = greeting(config, replies);
    auto sent = co_await stream.write(io::Slices(out), deadline);
    if (!sent) co_return std::move(sent).error();
    resp::ReplyReader reader(config.reply);
    std::array<char, 4096> buffer{};
    while (replies > 0) {
        auto got = co_await stream.read(buffer, deadline);
        if (!got) co_return std::move(got).error();
        if (*got == 0) {
            co_return Error{
                .code = Code::unavailable,
                .what = "it closed the connection",
                .source = Source::upstream,
                .retryable = true
            };
        }
        reader.feed(std::string_view(buffer.data(), *got));
        while (replies > 0 && reader.next()) {
            const resp::RespValue reply = reader.take();
            if (reply.is_error()) co_return error_of_reply(reply);
            --replies;
        }
        if (reader.problem()) co_return *reader.problem();
    }
    co_return Ok{};
}

Error explained(const RedisConfig& config, Error error) {
    error.what = fmt::format("redis at {}: {}", config.address(), error.what);
    return error;
}

}  // namespace

Error error_of_reply(const resp::RespValue& reply) {
    Code code = Code::invalid;
    for (const auto& [word, meaning] : kCodes) {
        if (reply.error_code() == word) code = meaning;
    }
    // A password that the server repeats ("WRONGPASS …" does not, a proxy may) is not ours to show.
    std::string text = code == Code::denied ? std::string(reply.error_code())
                                            : reply.text.substr(0, kShownBytesMax);
    const auto is_control = [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    };
    std::replace_if(text.begin(), text.end(), is_control, ' ');
    return {
        .code = code,
        .what = fmt::format("it says {}", text),
        .source = Source::upstream,
        .retryable = code == Code::unavailable || code == Code::exhausted
    };
}

io::Task<Result<io::StreamPtr>> open_session(
    io::Network& network, RedisConfig config, Instant deadline
) {
    const std::string host = config.host;
    const std::uint16_t port = config.port;
    auto connected = co_await io::connect_to(network, host, port, deadline);
    if (!connected) co_return explained(config, std::move(connected).error());
    io::StreamPtr stream = *std::move(connected);
    if (config.tls != nullptr) {
        const std::string& name = config.tls_server_name.empty() ? host : config.tls_server_name;
        auto secured = io::TlsStream::client(std::move(stream), config.tls, name);
        auto shaken = co_await secured->handshake(deadline);
        if (!shaken) co_return explained(config, std::move(shaken).error());
        stream = std::move(secured);
    }
    auto greeted = co_await greet(*stream, config, deadline);
    if (!greeted) co_return explained(config, std::move(greeted).error());
    co_return std::move(stream);
}

}  // namespace datapunk::mesh::redis
