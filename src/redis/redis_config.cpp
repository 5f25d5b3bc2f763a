#include "redis/redis_config.h"

#include <fmt/format.h>

#include <utility>

namespace datapunk::mesh::redis {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

}  // namespace

std::string RedisConfig::address() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

Result<> check(const RedisConfig& config) {
    std::string problems;
    const auto need = [&problems](bool good, std::string_view what) {
        if (good) return;
        if (!problems.empty()) problems += "; ";
        problems += what;
    };
    const auto within = [](Duration value, Duration least, Duration most) {
        return value >= least && value <= most;
    };
    need(!config.host.empty() && config.host.size() <= 253, "host must have 1 to 253 bytes");
    need(config.port != 0, "port must be 1 .. 65535");
    need(config.username.empty() || !config.password.empty(), "username needs a password");
    need(config.database <= 1023, "database must be 0 .. 1023");
    need(
        within(config.connect_timeout, milliseconds(10), minutes(1)),
        "connect_timeout must be 10ms .. 1m"
    );
    need(
        within(config.reply_timeout, milliseconds(10), minutes(1)),
        "reply_timeout must be 10ms .. 1m"
    );
    need(within(config.ping_interval, seconds(1), hours(1)), "ping_interval must be 1s .. 1h");
    need(config.queue_max >= 1 && config.queue_max <= 65'536, "queue_max must be 1 .. 65536");
    need(
        within(config.reconnect.base, milliseconds(1), minutes(10)) &&
            within(config.reconnect.max, config.reconnect.base, minutes(10)),
        "reconnect must be base 1ms .. 10m, max base .. 10m"
    );
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "redis: " + problems};
}

Result<std::shared_ptr<const io::TlsContext>> tls_of(const SharedCacheConfig& shared) {
    if (!shared.tls) return std::shared_ptr<const io::TlsContext>();
    return io::TlsContext::client(
        {.ca = shared.tls_ca,
         .certificate_chain = shared.tls_certificate,
         .private_key = shared.tls_private_key}
    );
}

Result<RedisConfig> config_of(const SharedCacheConfig& shared, wire::resp::ReplyLimits reply) {
    RedisConfig config;
    config.host = shared.host;
    config.port = shared.port;
    config.username = shared.username;
    config.password = shared.password;
    config.database = shared.database;
    config.reply = reply;
    auto tls = tls_of(shared);
    if (!tls) return std::move(tls).error();
    config.tls = *std::move(tls);
    config.tls_server_name = shared.tls_server_name;
    if (auto verdict = check(config); !verdict) return std::move(verdict).error();
    return config;
}

}  // namespace datapunk::mesh::redis
