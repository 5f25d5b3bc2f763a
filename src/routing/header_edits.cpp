#include "routing/header_edits.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/strings.h"
#include "wire/http1/hop_by_hop.h"

namespace datapunk::mesh::routing {

using wire::http1::Field;
using wire::http1::Header;

namespace {

void drop(std::vector<Field>& fields, std::string_view name) {
    std::erase_if(fields, [name](const Field& field) {
        return core::equals_ignoring_case(field.name, name);
    });
}

void end_hop(std::vector<Field>& fields) {
    const auto is_connection = [](const Field& field) { return field.id == Header::connection; };
    if (std::none_of(fields.begin(), fields.end(), is_connection)) return;
    for (Field& field : fields) {
        const bool is_nominated =
            field.id == Header::unknown && wire::http1::nominated_by_connection(fields, field.name);
        if (is_nominated) field.name = {};
    }
    std::erase_if(fields, [&](const Field& field) {
        return field.name.empty() || is_connection(field);
    });
}

Field field_of(std::string_view name, std::string_view value) {
    return {.name = name, .value = value, .id = wire::http1::header_of(name)};
}

}  // namespace

void apply(const HeaderEdits& edits, std::vector<Field>& fields) {
    if (edits.empty()) return;
    end_hop(fields);
    for (const std::string& name : edits.remove) drop(fields, name);
    for (const auto& [name, value] : edits.set) {
        drop(fields, name);
        fields.push_back(field_of(name, value));
    }
    for (const auto& [name, value] : edits.add) fields.push_back(field_of(name, value));
}

bool is_protected_field(std::string_view name) {
    static constexpr std::array<std::string_view, 11> kOurs = {
        "content-length",
        "date",
        "expect",
        "grpc-message",
        "grpc-status",
        "host",
        "traceparent",
        "trailer",
        "via",
        "x-forwarded-client-cert",
        "x-forwarded-for",
    };
    std::string plain = core::lowercase(name);
    std::replace(plain.begin(), plain.end(), '_', '-');
    return plain.starts_with("x-mesh-") ||
           wire::http1::is_hop_by_hop(wire::http1::header_of(plain)) ||
           std::find(kOurs.begin(), kOurs.end(), plain) != kOurs.end();
}

}  // namespace datapunk::mesh::routing
