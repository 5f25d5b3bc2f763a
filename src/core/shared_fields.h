#pragma once

// What a policy asks for that processes do together, through Redis: nothing comes of it without.

#include <datapunk/mesh/policy.h>

#include <string_view>
#include <vector>

namespace datapunk::mesh::core {

// The fields that are set and need Redis, as paths: "retry.budget.shared".
inline std::vector<std::string_view> fields_that_need_redis(const ServicePolicy& policy) {
    std::vector<std::string_view> fields;
    if (policy.share_breakers) fields.emplace_back("share_breakers");
    if (policy.retry.budget.shared) fields.emplace_back("retry.budget.shared");
    if (policy.limits.share_rate) fields.emplace_back("limits.share_rate");
    return fields;
}

}  // namespace datapunk::mesh::core
