// api_service: a small HTTP service that announces itself in a registry, and can be made slow to
// see what its callers' meshes do about it.
//
//   api_service [--name api_service] [--port 0] [--registry 127.0.0.1:8500] [--delay-ms 0]
//
//   GET /          "hello from api_service-127.0.0.1-40123"
//   GET /health    200
//   PUT /delay     body: milliseconds that each GET / takes from now on
//   SIGUSR1        300 ms per request from now on; SIGUSR2: none
//   SIGTERM        deregisters, answers what has begun, ends

#include <datapunk/mesh/mesh.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

#include "blocking_http.h"
#include "flags.h"

namespace mesh = datapunk::mesh;

namespace {

int run(int argc, char** argv) {
    examples::Flags flags{
        {"name", "api_service"}, {"port", "0"}, {"registry", "127.0.0.1:8500"}, {"delay-ms", "0"}
    };
    examples::parse(argc, argv, flags);
    const sigset_t signals = examples::block_signals();

    std::atomic<int> delay_ms{std::atoi(flags["delay-ms"].c_str())};
    examples::HttpServer server(
        "127.0.0.1",
        static_cast<std::uint16_t>(std::atoi(flags["port"].c_str())),
        [&](const examples::Message& request) -> examples::Message {
            if (request.target == "/health") return {.body = "ok\n"};
            if (request.target == "/delay" && request.method == "PUT") {
                delay_ms = std::atoi(request.body.c_str());
                return {.body = "delay " + std::to_string(delay_ms) + " ms\n"};
            }
            if (request.target != "/") return {.status = 404, .body = "no such page\n"};
            std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
            return {
                .body = "hello from " + flags["name"] + " on port " +
                        std::to_string(server.port()) + "\n"
            };
        }
    );

    const auto registry = examples::host_port(flags["registry"]);
    auto m = mesh::ServiceMesh::create(
        {.registry = mesh::Consul{.host = registry.host, .port = registry.port}}
    );
    if (!m) throw std::runtime_error(m.error().what);
    auto me = m->register_service({
        .name = flags["name"],
        .host = "127.0.0.1",
        .port = server.port(),
        .check = {.interval = std::chrono::seconds(1), .timeout = std::chrono::seconds(1)},
    });
    if (!me) throw std::runtime_error(me.error().what);
    std::cout << me->id() << " serves http://127.0.0.1:" << server.port() << std::endl;

    for (int signal = 0; signal != SIGTERM && signal != SIGINT;) {
        sigwait(&signals, &signal);
        if (signal == SIGUSR1) delay_ms = 300;
        if (signal == SIGUSR2) delay_ms = 0;
    }
    // First nobody new is sent here, then what has come is answered (the server's destructor).
    if (auto gone = me->deregister(); !gone) std::cerr << gone.error().what << "\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "api_service: " << error.what() << "\n";
        return 1;
    }
}
