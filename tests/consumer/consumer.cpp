// Uses every public header and most functions; needs nothing but the standard library and the
// installed mesh. Exit status 0 if all of it works.

#include <datapunk/mesh/mesh.h>

#include <cstdio>
#include <string>

namespace mesh = datapunk::mesh;
using namespace std::chrono_literals;

namespace {

int fail(const char* what, const mesh::Error& error) {
    std::printf("%s: %s (%s)\n", what, error.what.c_str(), to_string(error.code).data());
    return 1;
}

}  // namespace

int main() {
    auto made = mesh::ServiceMesh::create({
        .registry = mesh::Fixed{.services = {{"api_service", {{.host = "127.0.0.1", .port = 9}}}}},
        .policy = {.balance = mesh::LeastRequest{}, .retry = {.attempts = 2}},
        .log_level = mesh::LogLevel::warn,
    });
    if (!made) return fail("create", made.error());
    mesh::ServiceMesh& m = *made;

    auto api = m.service("api_service");
    if (!api) return fail("service", api.error());
    const auto answer = api->call<std::string>(
        {.deadline = 2s},
        [](const mesh::ServiceEndpoint& endpoint,
           mesh::Attempt& attempt) -> mesh::Result<std::string> {
            if (attempt.number() == 1) {
                attempt.ended_as(mesh::Outcome::refused_stream);
                return mesh::Error{.code = mesh::Code::unavailable, .what = "not yet"};
            }
            return endpoint.address();
        }
    );
    if (!answer) return fail("call", answer.error());
    if (*answer != "127.0.0.1:9") return 1;

    auto lease = m.get_service_instance("api_service");
    if (!lease) return fail("get_service_instance", lease.error());
    lease->report(mesh::Outcome::success);

    auto watch = m.watch_service("api_service", [](const mesh::EndpointChange&) {});
    if (!watch) return fail("watch_service", watch.error());
    watch->stop();

    const auto bad = mesh::checked({.name = "No Such Name"});
    if (bad) return 1;
    if (m.metrics_text().find("mesh_attempts_total") == std::string::npos) return 1;
    std::puts("consumer: ok");
}
