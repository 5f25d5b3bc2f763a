#include "server/acl/acl_bodies.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "server/json_body.h"
#include "server/json_fields.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

// What Consul puts before a decoder's error on these endpoints.
constexpr std::string_view kTokenPrefix = "Token decoding failed: ";
constexpr std::string_view kPolicyPrefix = "Policy decoding failed: ";
constexpr std::string_view kBodyPrefix = "Request decode failed: ";

Error bad(std::string_view prefix, std::string_view what) {
    return {
        .code = Code::invalid,
        .what = fmt::format("{}{}", prefix, what),
        .source = Source::downstream,
    };
}

bool is_blank(std::string_view body) {
    return body.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Each element of a list of objects.
template <class Row, class Read>
JsonFields::Field rows(
    JsonFields& fields, std::string_view name, std::vector<Row>& out, Read read
) {
    return {name, [&fields, &out, read](const Json& list) {
                if (!list.is_array()) return fields.mismatch(list, "[]struct");
                for (const Json& item : list) read(fields, item, out.emplace_back());
            }};
}

void read_link(JsonFields& fields, const Json& json, PolicyLink& out) {
    fields.object(
        json, "ACLTokenPolicyLink", {fields.text("ID", out.id), fields.text("Name", out.name)}
    );
}

void read_service_identity(JsonFields& fields, const Json& json, catalog::AclServiceIdentity& out) {
    fields.object(
        json,
        "ACLServiceIdentity",
        {fields.text("ServiceName", out.service), fields.texts("Datacenters", out.datacenters)}
    );
}

void read_node_identity(JsonFields& fields, const Json& json, catalog::AclNodeIdentity& out) {
    fields.object(
        json,
        "ACLNodeIdentity",
        {fields.text("NodeName", out.node), fields.text("Datacenter", out.datacenter)}
    );
}

}  // namespace

Result<TokenBody> parse_token(std::string_view body) {
    auto json = parse_json(body, kTokenPrefix);
    if (!json) return std::move(json).error();
    TokenBody out;
    JsonFields fields;
    fields.object(
        *json,
        "ACLToken",
        {fields.text("AccessorID", out.row.accessor),
         fields.text("SecretID", out.row.secret),
         fields.text("Description", out.row.description),
         rows(fields, "Policies", out.policies, read_link),
         fields.unsupported("Roles"),
         fields.unsupported("TemplatedPolicies"),
         rows(fields, "ServiceIdentities", out.row.service_identities, read_service_identity),
         rows(fields, "NodeIdentities", out.row.node_identities, read_node_identity),
         fields.boolean("Local", out.row.local),
         fields.text("ExpirationTime", out.expiration_time),
         fields.duration("ExpirationTTL", out.expiration_ttl),
         fields.unsupported("AuthMethod"),
         JsonFields::ignored("AuthMethodNamespace"),
         JsonFields::ignored("ID"),
         JsonFields::ignored("Type"),
         JsonFields::ignored("Rules"),
         JsonFields::ignored("Legacy"),
         JsonFields::ignored("CreateTime"),
         JsonFields::ignored("Hash"),
         JsonFields::ignored("CreateIndex"),
         JsonFields::ignored("ModifyIndex"),
         fields.unsupported("Namespace"),
         fields.unsupported("Partition")}
    );
    if (fields.problem()) return bad(kTokenPrefix, *fields.problem());
    return out;
}

Result<catalog::AclPolicyRow> parse_policy(std::string_view body) {
    auto json = parse_json(body, kPolicyPrefix);
    if (!json) return std::move(json).error();
    catalog::AclPolicyRow out;
    JsonFields fields;
    fields.object(
        *json,
        "ACLPolicy",
        {fields.text("ID", out.id),
         fields.text("Name", out.name),
         fields.text("Description", out.description),
         fields.text("Rules", out.rules),
         fields.texts("Datacenters", out.datacenters),
         JsonFields::ignored("Hash"),
         JsonFields::ignored("CreateIndex"),
         JsonFields::ignored("ModifyIndex"),
         fields.unsupported("Namespace"),
         fields.unsupported("Partition")}
    );
    if (fields.problem()) return bad(kPolicyPrefix, *fields.problem());
    return out;
}

Result<std::optional<std::string>> parse_clone(std::string_view body) {
    std::optional<std::string> out;
    if (is_blank(body)) return out;
    auto json = parse_json(body, kTokenPrefix);
    if (!json) return std::move(json).error();
    JsonFields fields;
    std::string description;
    fields.object(
        *json,
        "ACLToken",
        {fields.text("Description", description),
         fields.unsupported("Namespace"),
         fields.unsupported("Partition")}
    );
    if (fields.problem()) return bad(kTokenPrefix, *fields.problem());
    if (!description.empty()) out = std::move(description);
    return out;
}

Result<std::string> parse_bootstrap(std::string_view body) {
    std::string out;
    if (is_blank(body)) return out;
    auto json = parse_json(body, kBodyPrefix);
    if (!json) return std::move(json).error();
    JsonFields fields;
    fields.object(*json, "ACLInitialTokenBootstrapRequest", {fields.text("BootstrapSecret", out)});
    if (fields.problem()) return bad(kBodyPrefix, *fields.problem());
    return out;
}

std::string format_rfc3339(Duration since_1970) {
    using namespace std::chrono;
    const sys_time<nanoseconds> time(since_1970);
    const auto day = floor<days>(time);
    const year_month_day date(day);
    const hh_mm_ss clock(time - day);
    std::string out = fmt::format(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        static_cast<int>(date.year()),
        static_cast<unsigned>(date.month()),
        static_cast<unsigned>(date.day()),
        clock.hours().count(),
        clock.minutes().count(),
        clock.seconds().count()
    );
    if (const auto parts = clock.subseconds().count(); parts != 0) {
        std::string digits = fmt::format("{:09}", parts);
        digits.erase(digits.find_last_not_of('0') + 1);
        out += "." + digits;
    }
    return out + "Z";
}

std::optional<Duration> parse_rfc3339(std::string_view text) {
    using namespace std::chrono;
    // "2026-11-21T03:24:48" with an optional fraction, then Z or an offset.
    constexpr std::string_view kShape = "0000-00-00T00:00:00";
    if (text.size() < kShape.size() + 1) return std::nullopt;
    for (std::size_t i = 0; i < kShape.size(); ++i) {
        const bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (kShape[i] == '0' ? !is_digit : text[i] != kShape[i]) return std::nullopt;
    }
    const auto part = [&](std::size_t at, std::size_t size) {
        return core::parse_number<int>(text.substr(at, size)).value_or(0);
    };
    const year_month_day date(
        year(part(0, 4)),
        month(static_cast<unsigned>(part(5, 2))),
        day(static_cast<unsigned>(part(8, 2)))
    );
    if (!date.ok() || part(11, 2) > 23 || part(14, 2) > 59 || part(17, 2) > 60) return std::nullopt;
    Duration out = sys_days(date).time_since_epoch() + hours(part(11, 2)) + minutes(part(14, 2)) +
                   seconds(part(17, 2));
    text.remove_prefix(kShape.size());
    if (text.front() == '.') {
        text.remove_prefix(1);
        std::int64_t scale = 100'000'000;
        std::size_t digits = 0;
        while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
            out += Duration((text.front() - '0') * scale);
            scale /= 10;
            text.remove_prefix(1);
            ++digits;
        }
        if (digits == 0) return std::nullopt;
    }
    if (text == "Z" || text == "z") return out;
    if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
        return std::nullopt;
    }
    const auto offset_hours = core::parse_number<unsigned>(text.substr(1, 2));
    const auto offset_minutes = core::parse_number<unsigned>(text.substr(4, 2));
    if (!offset_hours || !offset_minutes || *offset_hours > 23 || *offset_minutes > 59) {
        return std::nullopt;
    }
    const Duration offset = hours(*offset_hours) + minutes(*offset_minutes);
    return text[0] == '+' ? out - offset : out + offset;
}

}  // namespace datapunk::mesh::server
