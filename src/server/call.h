#pragma once

// What every endpoint works with: the call as the router understood it, the rooms behind it, and
// the common parts of answers and blocking queries. One loop.
//
//     request ── router ──> Call ──> endpoint ──> Response
//                                       └─ read(): options ─ wait for the key ─ render ─┘

#include <optional>
#include <string>
#include <string_view>

#include "catalog/watch.h"
#include "http/message.h"
#include "io/task.h"
#include "registry/embedded/embedded_registry.h"
#include "server/answer_cache.h"
#include "server/filter/filter.h"
#include "wire/url.h"

namespace datapunk::mesh::server {

struct RegistryServerConfig {
    std::string datacenter = "dc1";  // the only one; ?dc= of another is an error
    std::string version = "1.16.4";  // of the API spoken, as agent/self says it
    // A write that takes longer is answered 500; Consul's rpc_hold_timeout is 7 s.
    Duration write_timeout = std::chrono::seconds(10);
    std::size_t answer_cache_bytes_max = 16UL * 1024 * 1024;  // 800 services of 40 instances
};

// Cheap to copy; what it points at outlives every call.
struct Context {
    registry::embedded::EmbeddedRegistry* registry = nullptr;
    const RegistryServerConfig* config = nullptr;
    AnswerCache* answers = nullptr;

    const catalog::Catalog& catalog() const { return registry->catalog(); }

    Instant now() const { return registry->loop().now(); }

    Instant write_deadline() const { return now() + config->write_timeout; }
};

struct Call {
    http::Request request;
    std::string name;  // what follows the route's path, decoded
    wire::Query query;
    bool is_pretty = false;
};

using Reply = io::Task<http::Response>;

http::Response plain_answer(int status, std::string text);
http::Response error_answer(const catalog::Command& command, const Error& error);
// A body that is complete JSON; ends with a newline if pretty, as Consul's.
http::Response json_answer(const Call& call, std::string body, int status = 200);

struct ReadOptions {
    std::uint64_t index = 0;  // 0 = do not block
    Duration wait = Duration::zero();
    std::string_view consistency = "leader";
    bool is_cached = false;        // ?cached
    std::optional<Filter> filter;  // ?filter, if the endpoint has one

    bool accepts(const void* row) const { return !filter || filter->matches(row); }
};

// What the query asks of any read; an answer if it asks nonsense.
std::optional<http::Response> read_options(
    const Context& context, const Call& call, ReadOptions& out
);
// ?filter= against the endpoint's rows; an answer if it is nonsense.
std::optional<http::Response> read_filter(
    const Call& call, const FilterSchema& schema, ReadOptions& out
);
void add_index(http::Response& response, std::uint64_t index, const ReadOptions& options);

// node-meta=key:value, all of them.
Metadata node_meta(const Call& call);

// Whether waits are stretched by up to a sixteenth, as Consul does where it does not stream.
enum class Jitter : std::uint8_t { none, sixteenth };

using Render = http::Response (*)(const Context&, const Call&, const ReadOptions&);

// A blocking query: waits for `key` to pass ?index, at most ?wait, then renders. `filterable`: what
// ?filter= may ask for; null where there is no such parameter.
Reply read(
    Context context,
    Call call,
    catalog::WatchKey key,
    Jitter jitter,
    Render render,
    const FilterSchema* filterable = nullptr
);

// Executes and answers 200 with an empty body, or the error as Consul would.
Reply write(Context context, catalog::Command command);

}  // namespace datapunk::mesh::server
