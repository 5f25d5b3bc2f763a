#include "mesh/service_table.h"

namespace datapunk::mesh::internal {

ServiceTable::~ServiceTable() {
    delete index_.load();
}

ServiceState* ServiceTable::find(std::string_view name) const noexcept {
    const core::EpochGuard guard;
    const Index* index = index_.load(std::memory_order_acquire);
    if (index == nullptr) return nullptr;
    const auto at = index->find(name);
    return at == index->end() ? nullptr : at->second;
}

std::size_t ServiceTable::size() const {
    const std::lock_guard lock(mutex_);
    return services_.size();
}

void ServiceTable::publish() {
    auto index = std::make_unique<Index>();
    index->reserve(services_.size());
    for (const auto& service : services_) index->emplace(service->policies.name(), service.get());
    const Index* old = index_.exchange(index.release(), std::memory_order_acq_rel);
    if (old != nullptr) retired_.add([old] { delete old; });
    retired_.collect();
}

}  // namespace datapunk::mesh::internal
