#pragma once

// RegistryServer: the embedded registry's HTTP door. Speaks Consul's HTTP API (1.16, field for
// field, error texts and headers included) for what a mesh needs: agent, catalog, health, kv,
// status, sessions, transactions, prepared queries, access control. What it deliberately does not
// have is answered 501 and stands in docs/consul-compatibility.md.
//
//     http::Server ── handle(request) ──> routes (router.cpp) ──> endpoints.h
//
// A blocking query is a waiting task: a client that leaves destroys it, and its place in the
// registry's tables with it. One loop's object, the registry's.
// Cost: a health query of 40 instances whose answer is encoded already is a lookup and a copy.

#include <cstdint>
#include <string_view>
#include <vector>

#include "http/server.h"
#include "server/call.h"
#include "server/delta.h"

namespace datapunk::mesh::server {

// A path of the API, as the router has it; one that ends with "/" is followed by a name.
struct ApiPath {
    std::string_view path;
    std::string_view methods;  // with commas
};

// Every path that is answered, in the order in which they are looked for.
std::vector<ApiPath> api_paths();

class RegistryServer final : public http::Handler {
  public:
    // `registry` must outlive the server.
    RegistryServer(registry::embedded::EmbeddedRegistry& registry, RegistryServerConfig config);

    io::Task<http::Response> handle(http::Request request) override;
    std::size_t body_bytes_max(std::string_view target) const override;
    // A backup is large: who may not restore one need not send it.
    std::optional<http::Response> refuse_unread(const http::Request& head) override;

    // Answers encoded so far: fewer than asked for, see AnswerCache.
    std::uint64_t encodings() const noexcept { return answers_.encodings(); }

    const RegistryServerConfig& config() const noexcept { return config_; }

  private:
    RegistryServerConfig config_;
    AnswerCache answers_;
    AclGate acl_;
    InstanceDigests digests_;
    Context context_;
};

}  // namespace datapunk::mesh::server
