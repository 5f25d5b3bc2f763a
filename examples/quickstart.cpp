// The library in one look. Compiled and run by the tests; quoted in README.md.
// README: begin
#include <datapunk/mesh/mesh.h>

#include <iostream>

namespace mesh = datapunk::mesh;

int main() {
    auto m = mesh::ServiceMesh::create({.registry = mesh::Embedded{}});  // or mesh::Consul{}
    auto me = m->register_service({.name = "web", .host = "127.0.0.1", .port = 8080});
    auto web = m->service("web", {.retry = {.attempts = 2}}).value();
    auto answer = web.call<std::string>(
        [](const mesh::ServiceEndpoint& e, mesh::Attempt& a) -> mesh::Result<std::string> {
            return "asked " + e.address() + ", attempt " + std::to_string(a.number());
        }
    );  // the transport is yours: a.remaining() says how long it may take
    std::cout << (answer ? *answer : answer.error().what) << "\n";
}
// README: end
