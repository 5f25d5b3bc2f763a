#include "policy/worker.h"

namespace datapunk::mesh::policy {

WorkerTable::~WorkerTable() {
    for (auto& slot : blocks_) {
        const std::unique_ptr<Block> block(slot.load());
        if (block == nullptr) continue;
        for (auto& entry : *block) delete entry.load();
    }
}

Worker& WorkerTable::make(std::uint32_t index) {
    auto& slot = blocks_[index / kBlock];
    Block* block = slot.load(std::memory_order_acquire);
    if (block == nullptr) {
        auto fresh = std::make_unique<Block>();
        if (slot.compare_exchange_strong(block, fresh.get(), std::memory_order_acq_rel)) {
            block = fresh.release();
        }
    }
    auto& entry = (*block)[index % kBlock];
    auto fresh = std::make_unique<Worker>(seed_ + index, index);
    Worker* worker = nullptr;  // set by the exchange if another thread was first
    if (entry.compare_exchange_strong(worker, fresh.get(), std::memory_order_acq_rel)) {
        size_.fetch_add(1, std::memory_order_relaxed);
        worker = fresh.release();
    }
    return *worker;
}

std::uint64_t WorkerTable::in_flight() const noexcept {
    // Finished last: calls that come and go while we sum (we may lose the processor in between)
    // then make the result too small, never so large that a limit far away refuses a call.
    std::uint64_t begun = 0;
    std::uint64_t finished = 0;
    for_each([&](const Worker& worker) { begun += worker.begun.load(); });
    for_each([&](const Worker& worker) { finished += worker.finished.load(); });
    return begun > finished ? begun - finished : 0;
}

}  // namespace datapunk::mesh::policy
