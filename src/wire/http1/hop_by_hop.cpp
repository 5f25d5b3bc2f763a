#include "wire/http1/hop_by_hop.h"

#include "core/strings.h"
#include "wire/http1/field_line.h"

namespace datapunk::mesh::wire::http1 {
namespace {

bool lists(const std::vector<Field>& fields, Header id, std::string_view wanted) noexcept {
    bool found = false;
    for (const Field& field : fields) {
        if (field.id != id) continue;
        for_each_element(field.value, [&](std::string_view element) {
            found |= core::equals_ignoring_case(element, wanted);
        });
    }
    return found;
}

}  // namespace

bool is_hop_by_hop(Header id) noexcept {
    switch (id) {
        case Header::connection:
        case Header::keep_alive:
        case Header::proxy_authenticate:
        case Header::proxy_authorization:
        case Header::proxy_connection:
        case Header::te:
        case Header::transfer_encoding:
        case Header::upgrade:
            return true;
        default:
            return false;
    }
}

bool nominated_by_connection(const std::vector<Field>& fields, std::string_view name) noexcept {
    const Header id = header_of(name);
    if (id != Header::unknown && !is_hop_by_hop(id)) return false;
    return lists(fields, Header::connection, name);
}

bool accepts_trailers(const std::vector<Field>& fields) noexcept {
    return lists(fields, Header::te, "trailers");
}

}  // namespace datapunk::mesh::wire::http1
