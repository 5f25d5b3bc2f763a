#include "registry/etcd/etcd_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "registry/etcd/messages.h"
#include "registry/left_alone.h"

namespace datapunk::mesh::registry::etcd {

namespace {

constexpr std::size_t kRefusalBytesMax = 64UL * 1024;

Error explained(const EtcdMember& member, std::string_view path, Error error) {
    error.what = fmt::format("etcd at {}:{}: {}: {}", member.host, member.port, path, error.what);
    error.source = Source::registry;
    return error;
}

// Not one that says that the question or answer itself is wrong.
bool may_another_do_better(const Error& error) {
    return error.code == Code::unavailable || error.code == Code::timeout;
}

}  // namespace

EtcdClient::EtcdClient(
    io::Network& network,
    EtcdConfig config,
    std::shared_ptr<const io::TlsContext> tls,
    core::Logger log
)
    : network_(network),
      config_(std::move(config)),
      log_(std::move(log)),
      client_(
          network,
          {.body_bytes_max = config_.body_bytes_max,
           .tls = std::move(tls),
           .tls_server_name = config_.tls_server_name}
      ) {}

http::Request EtcdClient::request(std::string path, std::string body) const {
    http::Request request{.method = "POST", .target = std::move(path), .body = std::move(body)};
    request.headers.push_back({"Content-Type", "application/json"});
    if (!token_.empty()) request.headers.push_back({"Authorization", token_});
    return request;
}

io::Task<Result<>> EtcdClient::log_in(EtcdMember member, Instant deadline) {
    const std::string path = "/v3/auth/authenticate";
    const std::string body = authenticate_body(config_.user, config_.password);
    http::Request asked = request(path, body);
    auto response = co_await client_.fetch(member.host, member.port, std::move(asked), deadline);
    if (!response) co_return explained(member, path, std::move(response).error());
    if (response->status != 200) {
        const Refusal why = refusal(response->status, response->body);
        // A cluster without authentication lets everybody in: that must not keep us out.
        if (why.status == Status::failed_precondition) {
            log_.warn(
                "etcd does not use authentication, going on without", {{"user", config_.user}}
            );
            co_return Ok{};
        }
        Error error = explained(member, path, why.error);
        if (error.code == Code::invalid) error.code = Code::denied;  // how it says "wrong password"
        co_return error;
    }
    auto token = parse_token(response->body);
    if (!token) co_return explained(member, path, std::move(token).error());
    token_ = *std::move(token);
    co_return Ok{};
}

template <class T>
io::Task<EtcdClient::Said<T>> EtcdClient::ask_member(
    EtcdMember member, std::string path, std::string body, Instant deadline
) {
    http::Request asked = request(path, std::move(body));
    int status = 0;
    std::string refused;
    std::string retry_after;  // of a proxy in front of it: etcd sends none
    if constexpr (std::is_same_v<T, std::string>) {
        auto response =
            co_await client_.fetch(member.host, member.port, std::move(asked), deadline);
        if (!response) {
            const bool try_another = may_another_do_better(response.error());
            Error error = explained(member, path, std::move(response).error());
            error.retryable = try_another;
            co_return Said<T>(Result<T>(std::move(error)), false, try_another);
        }
        if (response->status == 200) co_return Said<T>(Result<T>(std::move(response->body)));
        status = response->status;
        retry_after = response->header("Retry-After");
        refused = std::move(response->body);
    } else {
        auto opened = co_await client_.stream(member.host, member.port, std::move(asked), deadline);
        if (!opened) {
            const bool try_another = may_another_do_better(opened.error());
            Error error = explained(member, path, std::move(opened).error());
            error.retryable = try_another;
            co_return Said<T>(Result<T>(std::move(error)), false, try_another);
        }
        if ((*opened)->status() == 200) co_return Said<T>(Result<T>(*std::move(opened)));
        status = (*opened)->status();
        retry_after = (*opened)->header("Retry-After");
        auto rest = co_await (*opened)->rest(kRefusalBytesMax, deadline);
        if (rest) refused = *std::move(rest);
    }
    const Refusal why = refusal(status, refused);
    Error error = explained(member, path, why.error);
    error.retry_after = left_alone_for(status, retry_after, network_.loop().wall_now());
    co_return Said<T>(
        Result<T>(std::move(error)), why.status == Status::unauthenticated, why.try_another
    );
}

template <class T>
io::Task<Result<T>> EtcdClient::ask_around(std::string path, std::string body, Instant deadline) {
    const std::size_t members = config_.endpoints.size();
    const std::size_t first = current_;
    Error last{.code = Code::timeout, .what = "no time left", .source = Source::registry};
    bool has_logged_in = false;
    // The first one twice: what broke may have been a connection kept from earlier.
    for (std::size_t i = 0; i <= members;) {
        const std::size_t at = (first + i) % members;
        const EtcdMember member = config_.endpoints[at];
        const Instant now = network_.loop().now();
        if (i > 0 && now >= deadline) break;
        const Instant until = std::min(deadline, now + config_.request_timeout);
        if (!config_.user.empty() && token_.empty() && !has_logged_in) {
            auto entered = co_await log_in(member, until);
            if (!entered) {
                last = std::move(entered).error();
                if (!may_another_do_better(last)) co_return last;
                ++i;
                continue;
            }
            has_logged_in = true;
        }
        const std::string its_path = path;
        const std::string its_body = body;
        Said<T> said = co_await ask_member<T>(member, its_path, its_body, until);
        if (said.result) {
            current_ = at;
            co_return std::move(said.result);
        }
        last = std::move(said.result).error();
        const bool is_old_token = said.is_token_refused && !config_.user.empty() && !has_logged_in;
        if (is_old_token) {
            token_.clear();
            continue;  // the same member again, as somebody it knows
        }
        if (!said.try_another) co_return last;
        ++i;
    }
    co_return last;
}

io::Task<Result<std::string>> EtcdClient::ask(
    std::string path, std::string body, Instant deadline
) {
    return ask_around<std::string>(std::move(path), std::move(body), deadline);
}

io::Task<Result<EtcdClient::Streamed>> EtcdClient::watch(std::string body, Instant deadline) {
    return ask_around<Streamed>("/v3/watch", std::move(body), deadline);
}

}  // namespace datapunk::mesh::registry::etcd
