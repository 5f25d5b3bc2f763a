#pragma once

// Exchange: one request on its way through the proxy and its answer on the way back. stack.cpp has
// all layers in order, each with its reason; route_actions.cpp what a route does beyond leading to
// a service; attempt.cpp is one try at one endpoint; forward.cpp moves bodies. Lives in its
// connection's frame; one loop's object.
//
// It speaks to two interfaces, whatever the protocols: its Caller and, per attempt, an Upstream.
//
// Deadlines: the call's (caller's, route's or service's, the shortest) covers everything up to the
// head of the answer, the attempt's is part of it; bodies may take as long as each piece moves
// within body_timeout.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/task.h"
#include "policy/service_policies.h"
#include "proxy/call_loop.h"
#include "proxy/caller.h"
#include "proxy/caller_pace.h"
#include "proxy/exchange_buffers.h"
#include "proxy/grpc_web.h"
#include "proxy/mirrors.h"
#include "proxy/proxy.h"
#include "proxy/replies.h"
#include "proxy/service_metrics.h"
#include "proxy/upstream.h"
#include "routing/route_table.h"
#include "wire/grpc/call.h"

namespace datapunk::mesh::proxy {

class Exchange final : private CallSteps {
  public:
    Exchange(Proxy& proxy, ListenerState& listener, Caller& caller, ExchangeBuffers& buffers);

    // Answers the request. Whether the connection can carry another one.
    io::Task<bool> run();

  private:
    // A second attempt of `first`'s, up to the head of its answer.
    Exchange(const Exchange& first, ExchangeBuffers& buffers);

    // What one attempt has come to, before anything was sent to the caller.
    struct AttemptResult {
        resilience::Outcome outcome = resilience::Outcome::success;
        ReplyReason reason = ReplyReason::upstream_reset;  // if no answer came, and
        std::string error;                                 // the same for people
        std::optional<Duration> retry_after;
        bool has_named_header = false;  // one of the policy's retry.on_headers
        std::optional<bool> verdict;    // of the policy on a gRPC status: worth another attempt?
        bool sent = false;              // request bytes may have reached the endpoint
        bool has_answer = false;        // its head is in buffers_.answer
        bool before_answer = false;     // the connection ended before a byte of an answer
    };

    // stack.cpp
    io::Task<void> dispatch();
    void enter(const Proxy::Routed& routed);
    io::Task<bool> heed_callers_deadline(Result<std::optional<Duration>> patience);
    io::Task<void> serve();
    io::Task<void> call_service();
    std::optional<bool> judged(resilience::Outcome ended, int status) const;
    bool tells_overload(resilience::Outcome ended, bool has_answer) const noexcept;
    bool has_left() const noexcept override { return client_gone_; }

    io::Task<std::optional<policy::NoEndpoint>> wait_for_place(policy::CallState& call) override;
    io::Task<resilience::AttemptEnd> try_at(policy::CallState& call, policy::HeldEndpoint& at)
        override;
    io::Task<bool> wait_for_turn(Instant turn) override;
    void note(const resilience::RetryDecision& again) override;
    io::Task<void> give_answer(policy::HeldEndpoint at) override;
    io::Task<Dropped> drop_answer(const policy::HeldEndpoint& at) override;
    io::Task<void> answer_without_endpoint(policy::NoEndpoint why) override;
    io::Task<void> answer_failure() override;
    io::Task<bool> wait_before_retry(Duration wait) override;
    io::Task<void> reply(
        int status,
        ReplyReason reason,
        std::string_view explanation,
        Duration retry_after = Duration::zero()
    );
    io::Task<void> send_own(OwnAnswer answer);
    void finish();
    void write_access(AccessLog::Worker& log, double share, Duration took) const;
    void write_access(const Tunnel& tunnel, std::string_view how);
    void begin_record(const policy::HeldEndpoint& at);
    void note_hedge(const policy::HeldEndpoint& at);
    void keep_record(Duration took);

    // route_actions.cpp
    io::Task<bool> act_on_route();
    io::Task<bool> answer_preflight();
    io::Task<bool> heed_rate();
    io::Task<bool> inject_fault();
    io::Task<bool> pause(Duration wait);
    io::Task<bool> hear_request();
    io::Task<void> redirect();
    io::Task<void> respond();
    io::Task<bool> edit_request();
    void add_own_fields(ReplyReason reason);
    void edit_answer();
    void mirror();
    void copy_to_mirror(const http::Piece& piece);
    // fallback.cpp
    io::Task<void> fail(ReplyReason reason, std::string text, Duration retry_after);
    bool falls_back_on(int status) const noexcept;
    bool can_fall_back() const noexcept;
    io::Task<void> leave_answer(policy::HeldEndpoint at);
    io::Task<void> fall_back();

    // The route's, or the service's as it is at this moment: not to be kept across co_await.
    class RetryInForce {
      public:
        RetryInForce(
            const std::optional<RetryConfig>& own, const policy::ServicePolicies& service
        ) noexcept
            : policy_(service.policy()), config_(own ? &*own : &policy_->retry) {}

        const RetryConfig& operator*() const noexcept { return *config_; }

        const RetryConfig* operator->() const noexcept { return config_; }

      private:
        policy::PolicyInForce policy_;
        const RetryConfig* config_;
    };

    RetryInForce retry_in_force() const noexcept { return RetryInForce(retry_, *service_); }

    // attempt.cpp
    bool wants_http2(const ServiceEndpoint& endpoint) const;
    io::Task<AttemptResult> attempt(const policy::HeldEndpoint& at);
    io::Task<AttemptResult> send_and_await(const policy::HeldEndpoint& at);
    io::Task<Result<UpstreamPtr>> connect(const policy::HeldEndpoint& at);
    AttemptResult connect_failure(const Error& error) const;
    io::Task<Result<>> send_request(const policy::HeldEndpoint& at);
    io::Task<http::HeadRead> read_answer_head();
    AttemptResult judge_answer(http::HeadRead read, const policy::HeldEndpoint& at);
    AttemptResult failure(const Error& error) const;
    // hedge.cpp
    struct Race {
        explicit Race(io::Loop& loop) : ended(loop) {}

        io::Event ended;  // one of the two, at least
        std::optional<AttemptResult> firsts;
        io::TaskGroup first;  // last: destroyed first
    };

    resilience::AttemptEnd end_of(const AttemptResult& result) const;
    bool is_good(const AttemptResult& result) const;
    std::optional<Duration> hedge_after(const policy::CallState& call) const;
    io::Task<AttemptResult> hedged_attempt(
        policy::CallState& call, policy::HeldEndpoint& at, Duration delay
    );
    io::Task<void> attempt_into(
        const policy::HeldEndpoint& at, std::optional<AttemptResult>& out, io::Event& ended
    );
    io::Task<AttemptResult> run_race(
        Race& race, policy::HeldEndpoint& at, policy::HeldEndpoint other_at
    );
    void finish_beaten(policy::HeldEndpoint at, const std::optional<AttemptResult>& ended);
    // grpc.cpp
    void read_grpc_request();
    void judge_grpc(AttemptResult& result, wire::grpc::GrpcStatus status) const;
    io::Task<AttemptResult> peek_trailers(AttemptResult result);
    void count_grpc();
    void watch_client();
    void note_gone();
    void drop_upstream();
    // upgrade.cpp
    bool is_extended_connect() const noexcept;
    void read_upgrade();
    bool has_switched() const;
    io::Task<void> relay_switched(policy::HeldEndpoint at);
    io::Task<io::RelayEnd> relay_tunnel();

    // forward.cpp
    io::Task<bool> take_request_body();
    io::Task<bool> refuse_body(const Error& error);
    io::Task<void> pump_request_body();
    io::Task<Result<>> pump_pieces();
    io::Task<resilience::Outcome> forward_answer(const policy::HeldEndpoint& at);
    io::Task<Result<>> send_answer_body();
    Result<> sent(Result<> written);
    io::Task<void> discard_answer(const policy::HeldEndpoint& at);
    void settle_upstream(const policy::HeldEndpoint& at);

    Instant now() const noexcept override;
    Instant piece_deadline() const noexcept;

    Proxy& proxy_;
    ListenerState& listener_;
    const std::unique_ptr<GrpcWebCaller> web_;  // around the caller that the exchange is for
    Caller& caller_;
    ExchangeBuffers& buffers_;
    const wire::http1::RequestHead& request_;
    wire::http1::ResponseHead& answer_;

    Proxy::RoutesPtr routes_;  // its route is in there
    const routing::Route* route_ = nullptr;
    const routing::RouteExtras* extras_ = nullptr;  // null: the route only leads to a service
    std::optional<RetryConfig> retry_;              // the route's, in place of the service's
    std::uint64_t body_bytes_max_;                  // of the request; 0 = no limit
    std::vector<wire::http1::Field> own_fields_;    // the route's, of answers of ours
    std::string_view cors_origin_;                  // that may read the answer

    // Why the fallback is asked, and what the caller is told if that fails, too.
    struct FirstFailure {
        int status = 0;
        ReplyReason reason = ReplyReason::fallback;
        std::string text;
        Duration retry_after{};
    };

    std::optional<FirstFailure> first_failure_;
    std::unique_ptr<MirrorDraft> mirror_;  // of a body that is still coming
    policy::ServicePolicies* service_ = nullptr;
    UpstreamState* upstream_state_;  // of the service; of no service until one is found
    Instant started_;
    Instant deadline_ = kNever;  // the answer's head has come by then
    Instant attempt_deadline_;   // or this attempt is given up
    std::string target_;         // rewritten; empty = as it came
    bool starts_trace_ = false;
    std::string upgrade_;        // the protocol to go on in, of those allowed; empty: none
    std::string websocket_key_;  // ours, if the caller's protocol has none

    bool body_is_whole_ = true;  // buffers_.request_body is all of it: replayable
    std::vector<wire::http1::Field> request_trailers_;  // then these follow
    std::optional<ReplyReason> body_problem_;  // why the caller's body could not be sent on

    CallerPace request_pace_;
    CallerPace answer_pace_;

    bool is_grpc_ = false;
    std::optional<wire::grpc::GrpcStatus> grpc_status_;  // of the answer, once it is known
    std::optional<http::Piece> peeked_;                  // the answer's first, already taken
    bool speaks_http2_ = false;                          // to the endpoint of this attempt
    std::optional<BufferShelf::Lease> hedge_buffers_;    // an upstream may refer to them
    AttemptResult result_;                               // of the last attempt
    UpstreamPtr upstream_;
    io::Event wake_;  // a connection is there, or the caller has gone
    bool client_gone_ = false;
    const bool is_hedge_ = false;
    bool may_be_hedged_ = false;  // this attempt
    Exchange* hedge_ = nullptr;   // while it is out
    bool keep_alive_ = true;
    bool head_sent_ = false;  // bytes of the answer may have reached the caller
    Instant answered_at_;     // when the answer's head had come: what latency is measured to
    int status_ = 0;          // answered in full; 0 = no answer, or a cut one
    std::uint32_t attempts_ = 0;
    std::string_view outcome_;             // for the access log
    std::optional<RequestRecord> record_;  // if requests are kept
    io::TaskGroup pump_;                   // last: destroyed first
};

}  // namespace datapunk::mesh::proxy
