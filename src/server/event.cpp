#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "catalog/events.h"
#include "core/strings.h"
#include "server/endpoints.h"
#include "server/rows_json.h"
#include "server/uuid.h"

namespace datapunk::mesh::server {

namespace {

constexpr std::int64_t kPatternMemory = std::int64_t{1} << 20;  // RE2's own default is 8 MiB

void write_event(JsonWriter& json, const catalog::EventRow& event) {
    json.begin_object().key("ID").string(event.id).key("Name").string(event.name).key("Payload");
    if (event.payload.empty()) {
        json.null();
    } else {
        json.string(core::base64_encode(event.payload));
    }
    json.key("NodeFilter").string(event.node_filter);
    json.key("ServiceFilter").string(event.service_filter);
    json.key("TagFilter").string(event.tag_filter);
    json.key("Version").number(1).key("LTime").number(event.ltime).end_object();
}

// The event's three patterns, compiled.
struct Filters {
    std::unique_ptr<re2::RE2> node;
    std::unique_ptr<re2::RE2> service;
    std::unique_ptr<re2::RE2> tag;

    // Why they are refused; "" if they are not.
    std::string compile(const catalog::EventRow& event) {
        if (!event.tag_filter.empty() && event.service_filter.empty()) {
            return "Cannot provide tag filter without service filter";
        }
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(kPatternMemory);
        const auto make = [&](const std::string& text, std::string_view what, auto& out) {
            if (text.empty()) return std::string();
            out = std::make_unique<re2::RE2>(text, options);
            return out->ok() ? std::string()
                             : fmt::format("Invalid {} filter: {}", what, out->error());
        };
        std::string problem = make(event.node_filter, "node", node);
        if (problem.empty()) problem = make(event.service_filter, "service", service);
        if (problem.empty()) problem = make(event.tag_filter, "tag", tag);
        return problem;
    }

    // Whether the event is for this agent: its node, and one of its services.
    bool match(const catalog::CatalogNode* local) const {
        if (local == nullptr) return !node && !service;
        if (node && !re2::RE2::PartialMatch(local->row.name, *node)) return false;
        if (!service) return true;
        return std::any_of(local->services.begin(), local->services.end(), [&](const auto& entry) {
            const catalog::ServiceRow& row = entry.second.row;
            if (!re2::RE2::PartialMatch(row.name, *service)) return false;
            return !tag || std::any_of(row.tags.begin(), row.tags.end(), [&](const std::string& t) {
                return re2::RE2::PartialMatch(t, *tag);
            });
        });
    }
};

// What the caller may see of the events with this name, or of all.
struct EventList {
    std::vector<const catalog::EventRow*> events;
    std::uint64_t index = 1;
};

EventList list_events(const Context& context, const Call& call, VisibleTo& visible) {
    EventList list;
    const auto name = call.query.value("name").value_or("");
    for (const catalog::EventRow& event : context.catalog().events().rows()) {
        if (!name.empty() && event.name != name) continue;
        if (visible.may(Resource::event, event.name)) list.events.push_back(&event);
    }
    if (!list.events.empty()) list.index = catalog::event_index(list.events.back()->id);
    return list;
}

}  // namespace

Reply event_fire(Context context, Call call) {
    if (call.name.empty()) co_return plain_answer(400, "Missing name");
    if (auto refused = refuse_unless(call, Resource::event, Verb::write, call.name)) {
        co_return *std::move(refused);
    }
    catalog::FireEvent command;
    catalog::EventRow& event = command.event;
    event.name = call.name;
    event.node_filter = call.query.value("node").value_or("");
    event.service_filter = call.query.value("service").value_or("");
    event.tag_filter = call.query.value("tag").value_or("");
    event.payload = std::move(call.request.body);
    event.id = new_uuid(context.registry->loop().rng());
    Filters filters;
    const std::string problem = filters.compile(event);
    if (!problem.empty()) co_return plain_answer(500, problem);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    write_event(json, event);
    // It is gossiped to every agent in Consul; here is one, which an event may not be for.
    if (filters.match(context.catalog().local())) {
        const catalog::Command kind = catalog::FireEvent{};  // for the status of an error
        catalog::Command any = std::move(command);
        const Instant deadline = context.write_deadline();
        auto outcome = co_await context.registry->execute(std::move(any), deadline);
        if (!outcome) co_return error_answer(kind, outcome.error());
    }
    co_return json_answer(call, std::move(out));
}

Reply event_list(Context context, Call call) {
    ReadOptions options;
    if (auto refused = read_options(context, call, options)) co_return *std::move(refused);
    const Instant until = context.now() + options.wait;
    VisibleTo visible(call);
    EventList list = list_events(context, call, visible);
    // The index tells whether the list is another one, not whether it is newer.
    while (options.index > 0 && list.index == options.index && context.now() < until) {
        catalog::WatchKey key{catalog::WatchTopic::events, {}};
        const std::uint64_t seen = context.catalog().index_of(key);
        auto waited = co_await context.registry->wait(std::move(key), seen, until);
        if (!waited) co_return plain_answer(429, waited.error().what);
        const bool is_over = context.catalog().index_of({catalog::WatchTopic::events, {}}) == seen;
        list = list_events(context, call, visible);
        if (is_over) break;  // its time, or the registry's
    }
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::EventRow* event : list.events) write_event(json, *event);
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    response.headers.push_back({"X-Consul-Index", fmt::format("{}", list.index)});
    visible.tell(response);
    co_return response;
}

}  // namespace datapunk::mesh::server
