#include "server/query_run.h"

#include <algorithm>

#include "core/strings.h"

namespace datapunk::mesh::server {

namespace {

bool has_tag(const std::vector<std::string>& tags, std::string_view wanted) {
    return std::any_of(tags.begin(), tags.end(), [&](const std::string& tag) {
        return core::equals_ignoring_case(tag, wanted);
    });
}

// "!tag" asks that it is not there.
bool has_tags(const std::vector<std::string>& tags, const std::vector<std::string>& wanted) {
    return std::all_of(wanted.begin(), wanted.end(), [&](std::string_view tag) {
        const bool is_unwanted = tag.starts_with('!');
        return has_tag(tags, is_unwanted ? tag.substr(1) : tag) != is_unwanted;
    });
}

Health health_without(
    const catalog::InstanceRef& ref, const std::vector<std::string>& ignored_checks
) {
    Health worst = Health::passing;
    const auto look = [&](const catalog::CheckMap& checks) {
        for (const auto& [id, check] : checks) {
            const bool is_ignored =
                std::find(ignored_checks.begin(), ignored_checks.end(), id) != ignored_checks.end();
            if (!is_ignored) worst = std::max(worst, check.status);
        }
    };
    look(ref.node->checks);
    look(ref.instance->checks);
    return worst;
}

}  // namespace

std::vector<catalog::InstanceRef> run_query(
    const catalog::Catalog& catalog, const catalog::QueryRow& query
) {
    catalog::ServiceFilter where;
    where.node_meta = query.node_meta;
    std::vector<catalog::InstanceRef> out = catalog.health_service(query.service, where).data;
    std::erase_if(out, [&](const catalog::InstanceRef& ref) {
        const Health health = health_without(ref, query.ignore_checks);
        return health == Health::critical || (query.only_passing && health != Health::passing) ||
               !has_tags(ref.instance->row.tags, query.tags) ||
               !catalog::contains_all(ref.instance->row.meta, query.service_meta);
    });
    return out;
}

}  // namespace datapunk::mesh::server
