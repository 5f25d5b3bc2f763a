#include "store/memory_log.h"

#include <utility>

namespace datapunk::mesh::store {

namespace {

Error write_failed() {
    return {.code = Code::unavailable, .what = "simulated disk: no space left", .retryable = true};
}

Error shut_down() {
    return {.code = Code::aborted, .what = "the log is shut down"};
}

}  // namespace

MemoryLog::MemoryLog(std::shared_ptr<MemoryDisk> disk, MemoryFaults faults)
    : disk_(std::move(disk)), faults_(faults), rng_(faults.seed) {}

Result<StoredState> MemoryLog::load() {
    return disk_->state;
}

Result<> MemoryLog::append(std::vector<std::string> records, AppendDone done) {
    if (is_shut_down_) return shut_down();
    queue_.emplace_back([this, records = std::move(records), done = std::move(done)]() mutable {
        if (rng_.chance(faults_.write_error)) return done(write_failed());
        for (std::string& bytes : records) {
            disk_->state.entries.push_back({++disk_->last_seq, std::move(bytes)});
        }
        done(disk_->last_seq);
    });
    return Ok{};
}

Result<> MemoryLog::write_snapshot(std::string bytes, std::uint64_t up_to_seq, SnapshotDone done) {
    if (is_shut_down_) return shut_down();
    queue_.emplace_back([this, bytes = std::move(bytes), up_to_seq, done = std::move(done)](
                        ) mutable {
        if (rng_.chance(faults_.write_error)) return done(write_failed());
        std::erase_if(disk_->state.entries, [&](const StoredEntry& entry) {
            return entry.seq <= up_to_seq;
        });
        disk_->state.snapshot = StoredSnapshot{up_to_seq, std::move(bytes)};
        done(Ok{});
    });
    return Ok{};
}

Result<> MemoryLog::read_back(std::uint64_t up_to_seq, ReadDone done) {
    if (is_shut_down_) return shut_down();
    queue_.emplace_back([this, up_to_seq, done = std::move(done)]() mutable {
        StoredState state = disk_->state;
        std::erase_if(state.entries, [&](const StoredEntry& entry) {
            return entry.seq > up_to_seq;
        });
        done(std::move(state));
    });
    return Ok{};
}

void MemoryLog::shutdown() {
    run();
    is_shut_down_ = true;
}

std::size_t MemoryLog::run() {
    std::size_t count = 0;
    for (; !queue_.empty(); ++count) {
        auto job = std::move(queue_.front());
        queue_.pop_front();
        job();
    }
    return count;
}

}  // namespace datapunk::mesh::store
