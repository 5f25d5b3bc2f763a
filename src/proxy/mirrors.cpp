#include "proxy/mirrors.h"

#include <string>
#include <utility>
#include <variant>

#include "proxy/exchange_buffers.h"
#include "proxy/proxy.h"
#include "proxy/service_metrics.h"
#include "proxy/upstream_pool.h"
#include "wire/grpc/call.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;
using resilience::Outcome;
using wire::http1::Header;

namespace {

// An answer is read up to here to keep its connection; beyond, closing is cheaper.
constexpr std::size_t kAnswerBytesMax = 1024UL * 1024;
constexpr int kInterimMax = 16;

}  // namespace

// A request with memory of its own.
struct Mirrors::Copy {
    Copy(
        policy::ServicePolicies& of,
        const wire::http1::RequestHead& head,
        const UpstreamHead& with,
        std::string_view its_body
    )
        : service(of),
          body(its_body),
          peer_ip(with.peer_ip),
          scheme(with.scheme),
          certificate(with.client_certificate),
          traceparent(with.traceparent),
          path(with.path),
          starts_trace(with.starts_trace) {
        wire::http1::RequestHead& own = buffers.request = head;
        std::size_t bytes = 0;
        each_view(own, [&bytes](const std::string_view& view) { bytes += view.size(); });
        text.reserve(bytes);  // what has been kept must not move
        each_view(own, [this](std::string_view& view) {
            const std::size_t at = text.size();
            text += view;
            view = std::string_view(text).substr(at);
        });
    }

    template <class Visit>
    static void each_view(wire::http1::RequestHead& own, Visit visit) {
        for (auto* const view : {&own.method_text, &own.target, &own.path, &own.host, &own.upgrade})
            visit(*view);
        for (wire::http1::Field& field : own.fields) {
            visit(field.name);
            visit(field.value);
        }
    }

    policy::ServicePolicies& service;
    ExchangeBuffers buffers;  // its request points into `text`
    std::string text;
    std::string body;
    std::string peer_ip;
    std::string scheme;
    std::string certificate;
    std::string traceparent;
    std::string path;
    bool starts_trace;
    bool is_reused = false;  // the connection had carried others
    Instant deadline{};
};

class Mirrors::Counted {
  public:
    explicit Counted(std::size_t& count) : count_(count) { ++count_; }

    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    ~Counted() { --count_; }

  private:
    std::size_t& count_;
};

bool Mirrors::send(
    policy::ServicePolicies& service,
    const wire::http1::RequestHead& head,
    const UpstreamHead& how,
    std::string_view body
) {
    if (count_ >= kMax) return false;
    return send(std::make_unique<Copy>(service, head, how, body));
}

bool Mirrors::send(std::unique_ptr<Copy> copy) {
    if (count_ >= kMax) return false;
    copy->deadline = proxy_.loop().now() + copy->service.policy()->deadline;
    tasks_.spawn(run(std::move(copy)));
    return true;
}

std::unique_ptr<MirrorDraft> Mirrors::begin(
    policy::ServicePolicies& service,
    const wire::http1::RequestHead& head,
    const UpstreamHead& how,
    std::string_view body
) {
    const Instant now = proxy_.loop().now();
    while (!drafts_.empty() && now - drafts_.front().begun_ >= kDraftTime)
        drafts_.front().give_up();
    if (draft_count_ >= kDraftsMax) return nullptr;
    auto copy = std::make_unique<Copy>(service, head, how, body);
    auto draft = std::make_unique<MirrorDraft>(*this, std::move(copy), now);
    drafts_.push_back(*draft);
    ++draft_count_;
    return draft;
}

bool Mirrors::finish(std::unique_ptr<MirrorDraft> draft) {
    if (draft->copy_ == nullptr) return false;
    auto copy = std::move(draft->copy_);
    draft->give_up();
    return send(std::move(copy));
}

MirrorDraft::MirrorDraft(Mirrors& mirrors, std::unique_ptr<Mirrors::Copy> copy, Instant begun)
    : mirrors_(mirrors), copy_(std::move(copy)), begun_(begun) {}

MirrorDraft::~MirrorDraft() {
    give_up();
}

void MirrorDraft::give_up() noexcept {
    copy_.reset();
    if (!is_linked()) return;
    unlink();
    --mirrors_.draft_count_;
}

bool MirrorDraft::add(std::string_view piece) {
    if (copy_ == nullptr) return false;
    if (copy_->body.size() + piece.size() > Mirrors::kBodyBytesMax) {
        give_up();
        return false;
    }
    copy_->body += piece;
    return true;
}

io::Task<void> Mirrors::run(std::unique_ptr<Copy> copy) {
    const Counted counted(count_);
    policy::ServicePolicies& service = copy->service;
    policy::CallState call{resilience::Deadline(copy->deadline)};
    auto begun = service.begin_attempt(call, proxy_.loop().now());
    auto* const at = std::get_if<policy::HeldEndpoint>(&begun);
    if (at == nullptr) co_return;  // the service's metrics have the reason
    const Outcome outcome = co_await ask(copy.get(), at);
    service.finish_attempt(std::move(*at), outcome, proxy_.loop().now());
}

io::Task<Result<UpstreamPtr>> Mirrors::connect(Copy* copy, const policy::HeldEndpoint* at) {
    UpstreamUse& use = proxy_.state_of(copy->service).use;
    UpstreamPool& pool = proxy_.pool();
    const ServiceEndpoint& to = at->endpoint();
    const bool is_grpc =
        wire::grpc::is_content_type(copy->buffers.request.value(Header::content_type));
    const bool http2 = speaks_http2(*copy->service.policy(), to, is_grpc);
    UpstreamPtr ready =
        http2 ? pool.take_stream(at->address(), use) : pool.take_idle(at->address(), use);
    copy->is_reused = ready != nullptr;
    if (ready != nullptr) co_return ready;
    if (http2) {
        auto stream = co_await pool.connect_stream(to.host, to.port, copy->deadline, use);
        co_return std::move(stream);
    }
    auto connection = co_await pool.connect(to.host, to.port, copy->deadline, use);
    co_return std::move(connection);
}

// As for a request itself: a stream that was not begun, and a kept connection that ended just as it
// was used, are nobody's failure.
Outcome Mirrors::outcome_of_loss(const Copy& copy, const Upstream& upstream) {
    if (upstream.was_refused()) return Outcome::refused_stream;
    return copy.is_reused && upstream.is_silent() ? Outcome::cancelled : Outcome::reset;
}

io::Task<Outcome> Mirrors::ask(Copy* copy, const policy::HeldEndpoint* at) {
    auto connected = co_await connect(copy, at);
    if (!connected && connected.error().code == Code::exhausted)
        co_return Outcome::cancelled;  // our limit, not the endpoint's fault
    if (!connected) co_return Outcome::connect_failure;
    UpstreamPtr upstream = *std::move(connected);
    const UpstreamRequest request{
        .head = copy->buffers.request,
        .how =
            {.peer_ip = copy->peer_ip,
             .scheme = copy->scheme,
             .fallback_host = at->address(),
             .client_certificate = copy->certificate,
             .traceparent = copy->traceparent,
             .starts_trace = copy->starts_trace,
             .path = copy->path,
             .time_left = {},
             .scratch = copy->buffers.scratch},
        .body = copy->body,
        .whole = true,
        .trailers = {},
        .buffers = copy->buffers
    };
    auto written = co_await upstream->send_request(request, copy->deadline);
    if (!written) co_return outcome_of_loss(*copy, *upstream);
    wire::http1::ResponseHead& answer = copy->buffers.answer;
    for (int interim = 0;; ++interim) {
        const wire::http1::Method asked = copy->buffers.request.method;
        const HeadRead read = co_await upstream->read_answer(answer, asked, copy->deadline);
        if (read == HeadRead::failed && upstream->error().code == Code::timeout)
            co_return Outcome::timeout;
        if (read != HeadRead::done && read != HeadRead::rejected)
            co_return outcome_of_loss(*copy, *upstream);
        if (read == HeadRead::rejected) co_return Outcome::server_error;
        if (!answer.is_interim()) break;
        if (interim == kInterimMax) co_return Outcome::server_error;
    }
    if (answer.status < 200) co_return Outcome::server_error;
    std::size_t got = 0;
    while (!upstream->body_done() && got < kAnswerBytesMax) {
        auto piece = co_await upstream->next_piece(copy->deadline);
        if (!piece) co_return Outcome::reset;
        got += piece->bytes.size();
    }
    if (upstream->body_done() && upstream->is_reusable(answer))
        proxy_.pool().put_idle(at->address(), std::move(upstream));
    co_return resilience::outcome_of_status(answer.status);
}

}  // namespace datapunk::mesh::proxy
