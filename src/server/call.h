#pragma once

// What every endpoint works with: the call as the router understood it, the rooms behind it, and
// the common parts of answers and blocking queries. One loop.
//
//     request ── router ──> Call ──> endpoint ──> Response
//                                       └─ read(): options ─ wait for the key ─ render ─┘

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/watch.h"
#include "http/message.h"
#include "io/task.h"
#include "registry/embedded/embedded_registry.h"
#include "server/acl/acl_gate.h"
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
    AclConfig acl;
};

class InstanceDigests;

// Cheap to copy; what it points at outlives every call.
struct Context {
    registry::embedded::EmbeddedRegistry* registry = nullptr;
    const RegistryServerConfig* config = nullptr;
    AnswerCache* answers = nullptr;
    AclGate* acl = nullptr;
    InstanceDigests* digests = nullptr;

    const catalog::Catalog& catalog() const { return registry->catalog(); }

    Instant now() const { return registry->loop().now(); }

    // This agent's; "" before the log's first entry.
    std::string_view node_name() const {
        const catalog::CatalogNode* node = catalog().local();
        return node == nullptr ? std::string_view() : std::string_view(node->row.name);
    }

    // What the calendar says, for what tokens and people go by.
    Duration since_1970() const { return registry->loop().wall_now().time_since_epoch(); }

    Instant write_deadline() const { return now() + config->write_timeout; }
};

struct Call {
    http::Request request;
    std::string name;  // what follows the route's path, decoded
    wire::Query query;
    bool is_pretty = false;
    std::string secret;  // the token shown, or ""; must reach no log
    Access access;       // what it may do
};

using Reply = io::Task<http::Response>;

http::Response plain_answer(int status, std::string text);
http::Response error_answer(const catalog::Command& command, const Error& error);
// A body that is complete JSON; ends with a newline if pretty, as Consul's.
http::Response json_answer(const Call& call, std::string body, int status = 200);
// What every answer of a known path says about itself.
void add_defaults(http::Response& response, const AclGate& acl);

// 403 if the caller may not.
std::optional<http::Response> refuse_unless(
    const Call& call, Resource resource, Verb verb, std::string_view name = {}
);

// 403 if one of the checks follows a node that the caller may not read. Of this node's services
// an alias tells whoever may read the alias, as in Consul.
std::optional<http::Response> refuse_aliases(
    const Call& call, const std::vector<catalog::CheckRegistration>& checks
);

// What a list leaves out: as Consul, lists are filtered where a single thing is refused.
class VisibleTo {
  public:
    explicit VisibleTo(const Call& call) : access_(call.access) {}

    bool may(Resource resource, std::string_view name) {
        const bool shows = access_.may(resource, Verb::read, name);
        hides_ = hides_ || !shows;
        return shows;
    }

    bool instance(const catalog::InstanceRef& ref) {
        return may(Resource::node, ref.node->row.name) &&
               may(Resource::service, ref.instance->row.name);
    }

    bool check(const catalog::CheckRef& ref) {
        return may(Resource::node, ref.node->row.name) &&
               (ref.service == nullptr || may(Resource::service, ref.service->name));
    }

    // Says that something was left out, if the caller showed a token.
    void tell(http::Response& response) const;

  private:
    const Access& access_;
    bool hides_ = false;
};

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

// The same without a consistency, for what Consul answers from elsewhere, and for refusals, whose
// index is 1 and whose leader is not known.
void add_plain_index(http::Response& response, std::uint64_t index, bool knows_leader);

// Of shared_answer(): which of the heads of an answer, and its fields.
std::size_t label_of(const ReadOptions& options);
std::string shared_fields(const Context& context, std::uint64_t index, const ReadOptions& options);

// The answer of a read, for anybody who may read everything: its bytes, head included, are shared
// by all who ask the same. `name` names it (AnswerCache), `encode()` gives its body.
template <class Encode>
http::Response shared_answer(
    const Context& context,
    const std::string& name,
    std::uint64_t index,
    const ReadOptions& options,
    Encode encode
) {
    const auto label = [&] { return shared_fields(context, index, options); };
    AnswerCache::Answer found = context.answers->get(
        name, std::max<std::uint64_t>(index, 1), encode, label_of(options), label
    );
    http::Response response;
    response.shared_body = std::move(found.body);
    response.shared_fields = std::move(found.fields);
    return response;
}

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
// The same with the body `true`.
Reply write_true(Context context, Call call, catalog::Command command);

}  // namespace datapunk::mesh::server
