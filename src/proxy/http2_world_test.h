#pragma once

// For tests: RawWorld with a caller that speaks HTTP/2, and with endpoints that do.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/raw_world_test.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

using wire::http2::FieldList;
using wire::http2::H2Stream;
using wire::http2::Session;

inline FieldList fields_of(std::vector<std::pair<std::string, std::string>> pairs) {
    FieldList fields;
    for (const auto& [name, value] : pairs) fields.add(name, value);
    return fields;
}

inline FieldList request(
    const std::string& method = "GET",
    const std::string& path = "/",
    std::vector<std::pair<std::string, std::string>> more = {}
) {
    std::vector<std::pair<std::string, std::string>> pairs = {
        {":method", method}, {":scheme", "http"}, {":authority", "api"}, {":path", path}
    };
    pairs.insert(pairs.end(), more.begin(), more.end());
    return fields_of(pairs);
}

// A caller whose connection stays open: what has come for a stream is kept.
class Caller2 {
  public:
    struct Answer {
        int status = 0;
        std::map<std::string, std::string> fields;
        std::string body;
        std::map<std::string, std::string> trailers;
        bool ended = false;
        bool reset = false;
        std::uint32_t error = 0;
    };

    explicit Caller2(sim::SimWorld& world) : world_(world) {
        tasks_.spawn(run());
        world_.loop().run_for(milliseconds(5));
    }

    ~Caller2() {
        tasks_.cancel();
        for (auto& [stream, answer] : answers_) {
            if (stream != nullptr) session_.release(*stream, wire::http2::H2Error::cancel);
        }
    }

    H2Stream* ask(const FieldList& fields, std::string_view body = {}, bool whole = true) {
        const bool has_body = !body.empty() || !whole;
        H2Stream* const stream = session_.request(fields, has_body);
        EXPECT_NE(stream, nullptr);
        if (stream == nullptr) return nullptr;
        stream->owner = this;
        answers_[stream] = {};
        if (has_body && !body.empty()) session_.offer(*stream, body, whole);
        wants_write_.set();
        return stream;
    }

    void send(H2Stream* stream, std::string_view body, bool last, const FieldList* trailers) {
        session_.offer(*stream, body, last, trailers);
        wants_write_.set();
    }

    void cancel(H2Stream* stream) {
        session_.release(*stream, wire::http2::H2Error::cancel);
        answers_.erase(stream);
        wants_write_.set();
    }

    const Answer& answer(H2Stream* stream) { return answers_[stream]; }

    bool was_closed() const { return closed_; }

    Session& session() { return session_; }

    void close() { stream_->close(); }

    void ping() {
        session_.ping();
        wants_write_.set();
    }

    bool takes_data = true;  // acknowledges what it gets

  private:
    io::Task<void> run() {
        auto connected =
            co_await world_.host("10.0.0.1").connect(*io::parse_ip("10.0.0.2", 9000), kNever);
        EXPECT_TRUE(connected);
        stream_ = *std::move(connected);
        tasks_.spawn(write());
        std::array<char, 16'384> buffer{};
        for (;;) {
            auto got = co_await stream_->read(buffer, kNever);
            if (!got || *got == 0) break;
            session_.feed({buffer.data(), *got}, world_.loop().now());
            digest();
            wants_write_.set();
        }
        closed_ = true;
    }

    io::Task<void> write() {
        for (;;) {
            wants_write_.clear();
            session_.pull();
            std::string out;
            out.swap(session_.output());
            if (out.empty()) {
                co_await wants_write_.wait(kNever);
                continue;
            }
            const io::Slices slices(out);
            auto sent = co_await stream_->write(slices, kNever);
            if (!sent) co_return;
        }
    }

    void digest() {
        while (H2Stream* const stream = session_.next_changed()) {
            const auto found = answers_.find(stream);
            if (found == answers_.end()) continue;
            Answer& answer = found->second;
            const std::string_view data = takes_data ? stream->take_data() : std::string_view();
            answer.body += data;
            session_.consume(*stream, data.size());
            wire::http1::ResponseHead head;
            if (stream->has_head() && answer.status == 0) {
                EXPECT_EQ(
                    stream->head().to_response(
                        head, wire::http1::Method::get, stream->ended_with_head()
                    ),
                    wire::http1::Reject::none
                );
                answer.status = head.status;
                for (const auto& field : head.fields)
                    answer.fields[std::string(field.name)] = field.value;
            }
            answer.ended = stream->has_ended();
            std::vector<wire::http1::Field> trailers;
            if (answer.ended) stream->trailers().to_trailers(trailers);
            for (const auto& field : trailers)
                answer.trailers[std::string(field.name)] = field.value;
            answer.reset = stream->is_reset();
            answer.error = stream->error();
        }
    }

    sim::SimWorld& world_;
    Session session_{Session::Role::client, {}, Instant{}};
    io::Event wants_write_{world_.loop()};
    io::StreamPtr stream_;
    std::map<H2Stream*, Answer> answers_;
    bool closed_ = false;
    io::TaskGroup tasks_;
};

inline void pass(RawWorld& w, Duration time = milliseconds(200)) {
    w.world.loop().run_for(time);
}

// Endpoints that speak HTTP/2: a second proxy is one.
struct Chain : RawWorld {
    explicit Chain(
        ServicePolicy front = kOneAttempt,
        std::uint32_t streams_max = 100,
        ListenerConfig listener = {}
    )
        : RawWorld(with_http2(front), std::move(listener)),
          back_routes(std::make_shared<const routing::RouteTable>(
              *routing::RouteTable::create({{.name = "all", .service = "web"}})
          )),
          web(back_services.add(std::make_unique<policy::ServicePolicies>("web", kOneAttempt, 1))),
          back(std::make_unique<Proxy>(
              world.host("10.0.0.3"),
              ProxyShared{
                  .routes = back_routes,
                  .services = back_services,
                  .metrics = back_metrics,
                  .log = {},
                  .pool = {}
              }
          )) {
        ServiceEndpoint behind = a.endpoint();
        behind.service = "web";
        web.update({.service = "web", .endpoints = {behind}, .index = 1}, world.loop().now());
        ListenerConfig config{.name = "back", .address = "10.0.0.3", .port = 8080};
        config.streams_max = streams_max;
        EXPECT_TRUE(back->listen(config, {}));
        const ServiceEndpoint through{
            .id = "api-1", .service = "api", .host = "10.0.0.3", .port = 8080
        };
        api.update({.service = "api", .endpoints = {through}, .index = 2}, world.loop().now());
    }

    static ServicePolicy with_http2(ServicePolicy policy) {
        policy.protocol = EndpointProtocol::http2;
        return policy;
    }

    metrics::MetricRegistry back_metrics;
    UpstreamServices back_services;
    std::shared_ptr<const routing::RouteTable> back_routes;
    policy::ServicePolicies& web;
    std::unique_ptr<Proxy> back;
};

}  // namespace datapunk::mesh::proxy
