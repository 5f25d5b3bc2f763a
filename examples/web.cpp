// web: a service that needs another one. For each request it calls api_service through the mesh
// library: picked by latency, retried elsewhere, cut off by breakers.
//
//   web [--name web] [--port 0] [--registry 127.0.0.1:8500] [--api api_service]
//
//   GET /          what api_service says; 503 with the reason if nobody could answer
//   GET /health    200
//   GET /metrics   Prometheus text of the mesh in here
//   SIGTERM        deregisters, answers what has begun, ends

#include <datapunk/mesh/mesh.h>

#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <string>

#include "blocking_http.h"
#include "flags.h"

namespace mesh = datapunk::mesh;
using namespace std::chrono_literals;

namespace {

// The transport is the user's; what it tells the mesh is how it went.
mesh::Result<std::string> fetch(const mesh::ServiceEndpoint& from, mesh::Attempt& attempt) {
    examples::Message answer;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(attempt.remaining());
    switch (examples::get(from.host, from.port, "/", left, answer)) {
        case examples::Failure::not_connected:
            return mesh::Error{.code = mesh::Code::unavailable, .what = "cannot connect"};
        case examples::Failure::timeout:
            return mesh::Error{.code = mesh::Code::timeout, .what = "no answer in time"};
        case examples::Failure::cut_off:
            attempt.ended_as(mesh::Outcome::reset);
            return mesh::Error{.code = mesh::Code::unavailable, .what = "connection lost"};
        case examples::Failure::none:
            break;
    }
    if (answer.status >= 500) attempt.ended_as(mesh::Outcome::server_error);
    return answer.body;
}

int run(int argc, char** argv) {
    examples::Flags flags{
        {"name", "web"}, {"port", "0"}, {"registry", "127.0.0.1:8500"}, {"api", "api_service"}
    };
    examples::parse(argc, argv, flags);
    const sigset_t signals = examples::block_signals();

    const auto registry = examples::host_port(flags["registry"]);
    auto m = mesh::ServiceMesh::create(
        {.registry = mesh::Consul{.host = registry.host, .port = registry.port}}
    );
    if (!m) throw std::runtime_error(m.error().what);
    auto api = m->service(
        flags["api"], {.retry = {.attempts = 3, .attempt_timeout = 500ms}, .deadline = 2s}
    );
    if (!api) throw std::runtime_error(api.error().what);

    const examples::HttpServer server(
        "127.0.0.1",
        static_cast<std::uint16_t>(std::atoi(flags["port"].c_str())),
        [&](const examples::Message& request) -> examples::Message {
            if (request.target == "/health") return {.body = "ok\n"};
            if (request.target == "/metrics") return {.body = m->metrics_text()};
            if (request.target != "/") return {.status = 404, .body = "no such page\n"};
            const auto answer = api->call<std::string>(fetch);
            if (!answer) return {.status = 503, .body = answer.error().what + "\n"};
            return {.body = "web: " + *answer};
        }
    );
    auto me = m->register_service({
        .name = flags["name"],
        .host = "127.0.0.1",
        .port = server.port(),
        .check = {.interval = std::chrono::seconds(1), .timeout = std::chrono::seconds(1)},
    });
    if (!me) throw std::runtime_error(me.error().what);
    std::cout << me->id() << " serves http://127.0.0.1:" << server.port() << std::endl;

    for (int signal = 0; signal != SIGTERM && signal != SIGINT;) sigwait(&signals, &signal);
    if (auto gone = me->deregister(); !gone) std::cerr << gone.error().what << "\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "web: " << error.what() << "\n";
        return 1;
    }
}
