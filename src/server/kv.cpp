#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "catalog/limits.h"
#include "core/strings.h"
#include "server/endpoints.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// Absent is 404 with an empty body, but with an index to wait for.
http::Response absent() {
    return {.status = 404, .headers = {}, .body = {}};
}

http::Response render_key(const Context& context, const Call& call, const ReadOptions& options) {
    if (auto refused = refuse_unless(call, Resource::key, Verb::read, call.name)) {
        return *std::move(refused);
    }
    const auto answer = context.catalog().kv_get(call.name);
    http::Response response = absent();
    if (answer.data != nullptr && call.query.has("raw")) {
        response = {
            .status = 200,
            .headers =
                {{"Content-Type", "text/plain"},
                 {"X-Content-Type-Options", "nosniff"},
                 {"Content-Security-Policy", "sandbox"}},
            .body = answer.data->value
        };
    } else if (answer.data != nullptr) {
        std::string out;
        JsonWriter json(out, call.is_pretty);
        json.begin_array();
        write_kv(json, call.name, *answer.data);
        json.end_array();
        response = json_answer(call, std::move(out));
    }
    add_index(response, answer.index, options);
    return response;
}

http::Response render_tree(const Context& context, const Call& call, const ReadOptions& options) {
    auto answer = context.catalog().kv_list(call.name);
    VisibleTo visible(call);
    std::erase_if(answer.data, [&](const catalog::KvStore::Item& item) {
        return !visible.may(Resource::key, item.key);
    });
    http::Response response = absent();
    if (!answer.data.empty()) {
        std::string out;
        JsonWriter json(out, call.is_pretty);
        json.begin_array();
        for (const catalog::KvStore::Item& item : answer.data) {
            write_kv(json, item.key, *item.row);
        }
        json.end_array();
        response = json_answer(call, std::move(out));
    }
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_keys(const Context& context, const Call& call, const ReadOptions& options) {
    const auto separator = call.query.value("separator");
    auto answer = context.catalog().kv_keys(call.name, separator.value_or(""));
    VisibleTo visible(call);
    std::erase_if(answer.data, [&](const std::string& key) {
        return !visible.may(Resource::key, key);
    });
    http::Response response = absent();
    if (!answer.data.empty() || call.name.empty()) {
        std::string out;
        JsonWriter json(out, call.is_pretty);
        write_texts(json, answer.data);
        response = json_answer(call, std::move(out));
    }
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

Reply get(Context context, Call call) {
    const bool has_recurse = call.query.has("recurse");
    if (call.query.has("keys") || has_recurse) {
        catalog::WatchKey key{catalog::WatchTopic::kv_prefix, call.name};
        const Render render = has_recurse ? render_tree : render_keys;
        return read(context, std::move(call), std::move(key), Jitter::sixteenth, render);
    }
    if (call.name.empty()) return refuse(400, "Missing key name");
    if (auto refused = refuse_unless(call, Resource::key, Verb::read, call.name)) {
        return refuse(refused->status, refused->body);  // before it waits
    }
    catalog::WatchKey key{catalog::WatchTopic::kv_key, call.name};
    return read(context, std::move(call), std::move(key), Jitter::sixteenth, render_key);
}

// Runs the command; the body says whether it was accepted (a cas may not match).
Reply write_verdict(Context context, Call call, catalog::Command command) {
    const Instant deadline = context.write_deadline();
    const catalog::Command kind = command;
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    co_return json_answer(call, outcome->accepted ? "true" : "false");
}

// Nothing = not asked for; an answer to give instead if it is no number.
std::optional<http::Response> read_number(
    const Call& call, std::string_view name, std::optional<std::uint64_t>& out
) {
    const auto text = call.query.value(name);
    if (!text) return std::nullopt;
    out = core::parse_number<std::uint64_t>(*text);
    if (out) return std::nullopt;
    return plain_answer(
        500, fmt::format("strconv.ParseUint: parsing \"{}\": invalid syntax", text->substr(0, 64))
    );
}

// Consul shows the whole query, sorted by name.
std::string conflicting_flags(const Call& call) {
    std::vector<std::string> pairs;
    for (const std::string_view pair : core::split(call.request.query(), '&')) {
        const bool has_value = pair.find('=') != std::string_view::npos;
        if (!pair.empty()) pairs.push_back(fmt::format("{}{}", pair, has_value ? "" : "="));
    }
    std::sort(pairs.begin(), pairs.end());
    return fmt::format("Conflicting flags: {}", fmt::join(pairs, "&")).substr(0, 512);
}

Reply lock(Context context, Call call, std::uint64_t flags) {
    const bool acquires = call.query.has("acquire");
    const auto session = call.query.value(acquires ? "acquire" : "release").value_or("");
    const auto fill = [&](auto command) {
        command.key = call.name;
        command.value = std::move(call.request.body);
        command.flags = flags;
        command.session = session;
        return catalog::Command(std::move(command));
    };
    catalog::Command command = acquires ? fill(catalog::KvAcquire{}) : fill(catalog::KvRelease{});
    return write_verdict(context, std::move(call), std::move(command));
}

Reply put(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing key name");
    const int flags_given = (call.query.has("cas") ? 1 : 0) + (call.query.has("acquire") ? 1 : 0) +
                            (call.query.has("release") ? 1 : 0);
    if (flags_given > 1) {
        return refuse(400, conflicting_flags(call));
    }
    catalog::KvPut command{.key = call.name, .value = {}, .flags = 0, .cas = {}};
    std::optional<std::uint64_t> flags;
    auto refused = read_number(call, "flags", flags);
    if (!refused) refused = read_number(call, "cas", command.cas);
    if (!refused) refused = refuse_unless(call, Resource::key, Verb::write, call.name);
    if (refused) return refuse(refused->status, refused->body);
    command.flags = flags.value_or(0);
    if (call.query.has("acquire") || call.query.has("release")) {
        return lock(context, std::move(call), command.flags);
    }
    command.value = std::move(call.request.body);
    return write_verdict(context, std::move(call), std::move(command));
}

Reply erase(Context context, Call call) {
    catalog::KvDelete command{.key = call.name, .recurse = call.query.has("recurse"), .cas = {}};
    if (command.key.empty() && !command.recurse) return refuse(400, "Missing key name");
    if (command.recurse && call.query.has("cas")) return refuse(400, conflicting_flags(call));
    if (auto refused = read_number(call, "cas", command.cas)) {
        return refuse(refused->status, refused->body);
    }
    const bool may = command.recurse ? call.access.may_write_all(Resource::key, command.key)
                                     : call.access.may(Resource::key, Verb::write, command.key);
    if (!may) return refuse(403, call.access.refusal(Resource::key, Verb::write, command.key));
    return write_verdict(context, std::move(call), std::move(command));
}

}  // namespace

Reply kv(Context context, Call call) {
    if (call.request.method == "PUT") return put(context, std::move(call));
    if (call.request.method == "DELETE") return erase(context, std::move(call));
    return get(context, std::move(call));
}

}  // namespace datapunk::mesh::server
