#pragma once

// Exchange: one request on its way through the proxy and its answer on the way back. stack.cpp has
// all layers in order, each with its reason; attempt.cpp is one try at one endpoint; forward.cpp
// moves bodies. Lives in its connection's frame; one loop's object.
//
// The caller's stream has one reader at a time: the request body's pump while that runs, else the
// ClientWatch.

#include <memory>
#include <optional>
#include <string>

#include "http/message_reader.h"
#include "io/task.h"
#include "policy/service_policies.h"
#include "proxy/client_watch.h"
#include "proxy/heads.h"
#include "proxy/proxy.h"
#include "proxy/replies.h"
#include "proxy/service_metrics.h"
#include "proxy/upstream_pool.h"

namespace datapunk::mesh::proxy {

class Exchange {
  public:
    Exchange(
        Proxy& proxy,
        ListenerState& listener,
        http::MessageReader& client,
        const wire::http1::RequestHead& request,
        std::string& scratch
    );

    // Answers the request. Whether the connection can carry another one.
    io::Task<bool> run();

  private:
    // What one attempt has come to, before anything was sent to the caller.
    struct AttemptResult {
        resilience::Outcome outcome = resilience::Outcome::success;
        std::string error;  // for people, if no answer came
        std::optional<Duration> retry_after;
        bool sent = false;  // request bytes may have reached the endpoint
        bool has_answer = false;
    };

    // stack.cpp
    void enter(Proxy::Routed& routed);
    io::Task<void> serve();
    io::Task<void> answer_without_endpoint(policy::NoEndpoint why);
    io::Task<void> answer_failure(const AttemptResult& failed);
    io::Task<bool> wait_before_retry(Duration wait);
    io::Task<void> reply(int status, ReplyReason reason, std::string_view explanation);
    void finish();

    // attempt.cpp
    io::Task<AttemptResult> attempt(const policy::Attempt& at);
    io::Task<AttemptResult> send_and_await(const policy::Attempt& at);
    io::Task<Result<>> send_request(const policy::Attempt& at);
    io::Task<http::HeadRead> read_answer_head();
    AttemptResult failure(const Error& error, bool sent) const;
    void drop_upstream();

    // forward.cpp
    io::Task<bool> take_request_body();
    io::Task<void> pump_request_body();
    io::Task<Result<>> pump_pieces();
    io::Task<resilience::Outcome> forward_answer(const policy::Attempt& at);
    io::Task<Result<>> send_answer_body(DownstreamFraming framing);
    io::Task<void> discard_answer(const policy::Attempt& at);
    void settle_upstream(const policy::Attempt& at, bool complete);

    Instant now() const noexcept;
    Instant piece_deadline() const noexcept;

    Proxy& proxy_;
    ListenerState& listener_;
    http::MessageReader& client_;
    const wire::http1::RequestHead& request_;
    std::string& out_;  // heads being written; its capacity outlives the exchange

    policy::ServicePolicies* service_ = nullptr;
    ServiceMetrics* metrics_ = nullptr;
    Instant started_;
    Instant deadline_;
    std::string target_;  // rewritten; empty = as it came
    std::string traceparent_;
    bool starts_trace_ = false;

    std::string request_body_;   // collected, to be sent as often as needed
    bool body_is_whole_ = true;  // request_body_ is all of it: replayable
    bool body_pump_failed_ = false;

    UpstreamConnectionPtr upstream_;
    wire::http1::ResponseHead answer_;
    std::optional<ClientWatch> watch_;
    io::TaskGroup pump_;
    bool client_gone_ = false;
    bool keep_alive_ = true;
    Instant answered_at_;  // when the answer's head had come: what latency is measured to
    int status_ = 0;       // sent to the caller; 0 = none
    std::uint32_t attempts_ = 0;
    std::string_view outcome_;  // for the access log
    std::string last_address_;
};

}  // namespace datapunk::mesh::proxy
