#include "health/aggregate.h"

namespace datapunk::mesh::health {

namespace {

void add(Aggregate& sum, std::span<const CheckView> checks) noexcept {
    for (const CheckView& check : checks) {
        if (check.status > sum.status) {
            sum.status = check.status;
            sum.decided_by = check.id;
        }
        if (check.status != Health::passing && is_maintenance(check.id)) {
            if (!sum.maintenance) sum.decided_by = check.id;
            sum.maintenance = true;
        }
    }
}

}  // namespace

bool is_maintenance(std::string_view check_id) noexcept {
    return check_id == "_node_maintenance" || check_id.starts_with("_service_maintenance:");
}

Aggregate aggregate(
    std::span<const CheckView> node_checks, std::span<const CheckView> service_checks
) noexcept {
    Aggregate sum;
    add(sum, node_checks);
    add(sum, service_checks);
    return sum;
}

bool keeps(Filter filter, Health status) noexcept {
    switch (filter) {
        case Filter::all:
            return true;
        case Filter::not_critical:
            return status != Health::critical;
        case Filter::passing:
            return status == Health::passing;
    }
    return false;
}

std::string_view reason(const Aggregate& aggregate) noexcept {
    return aggregate.maintenance ? "maintenance" : to_string(aggregate.status);
}

int http_status(const Aggregate& aggregate) noexcept {
    if (aggregate.maintenance || aggregate.status == Health::critical) return 503;
    return aggregate.status == Health::warning ? 429 : 200;
}

}  // namespace datapunk::mesh::health
