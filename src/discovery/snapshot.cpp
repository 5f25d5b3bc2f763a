#include "discovery/snapshot.h"

#include <fmt/format.h>

#include <utility>

#include "core/hash.h"
#include "core/strings.h"

namespace datapunk::mesh::discovery {

namespace {

constexpr std::string_view kMagic = "dpmesh-snapshot";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kHeadBytesMax = 128;

std::string head_of(std::int64_t saved_ms, std::size_t bytes) {
    return fmt::format("{} {} {} {}", kMagic, kVersion, saved_ms, bytes);
}

// Of head and body: a flipped bit in either shows.
std::string checksum(std::string_view head, std::string_view body) {
    return fmt::format("{:016x}", core::hash64(body, core::hash64(head)));
}

Error damaged(std::string_view why) {
    return {.code = Code::invalid, .what = fmt::format("the snapshot is damaged: {}", why)};
}

}  // namespace

std::string encode_snapshot(const Snapshot& snapshot) {
    const std::string body = encode_sets(snapshot.sets);
    const auto saved = std::chrono::floor<std::chrono::milliseconds>(snapshot.saved_at);
    const std::string head = head_of(saved.time_since_epoch().count(), body.size());
    return fmt::format("{} {}\n{}", head, checksum(head, body), body);
}

Result<Snapshot> decode_snapshot(std::string_view bytes) {
    const std::size_t end = bytes.substr(0, kHeadBytesMax).find('\n');
    if (end == std::string_view::npos) return damaged("it has no head");
    const std::string_view line = bytes.substr(0, end);
    const std::string_view body = bytes.substr(end + 1);
    const auto words = core::split(line, ' ');
    if (words.size() != 5 || words[0] != kMagic) return damaged("its head is none");
    const auto version = core::parse_number<std::uint64_t>(words[1]);
    if (!version || *version != kVersion) {
        return damaged(fmt::format("version {} is not {}", words[1], kVersion));
    }
    const auto saved_ms = core::parse_number<std::int64_t>(words[2]);
    const auto length = core::parse_number<std::uint64_t>(words[3]);
    if (!saved_ms || !length) return damaged("its head is none");
    if (*length != body.size()) {
        return damaged(fmt::format("it should have {} bytes and has {}", *length, body.size()));
    }
    if (checksum(head_of(*saved_ms, body.size()), body) != words[4]) {
        return damaged("the checksum is wrong");
    }
    constexpr auto kLatestMs =
        std::chrono::floor<std::chrono::milliseconds>(WallTime::max().time_since_epoch()).count();
    if (*saved_ms < 0 || *saved_ms > kLatestMs) return damaged("its time is none");
    auto sets = decode_sets(body);
    if (!sets) return damaged(sets.error().what);
    return Snapshot{
        .saved_at = WallTime(std::chrono::milliseconds(*saved_ms)), .sets = *std::move(sets)
    };
}

SnapshotWriter::SnapshotWriter(io::Loop& loop, io::Files& files, std::string path, Where where)
    : loop_(loop), files_(files), path_(std::move(path)) {
    if (where == Where::thread) thread_ = std::thread([this] { work(); });
}

SnapshotWriter::~SnapshotWriter() {
    *is_alive_ = false;
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
    }
    ordered_.notify_one();
    thread_.join();
}

void SnapshotWriter::write(Snapshot snapshot, Done done) {
    if (!thread_.joinable()) {
        const Result<> written = files_.write_atomic(path_, encode_snapshot(snapshot));
        done(written);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        order_ = Order{.snapshot = std::move(snapshot), .done = std::move(done)};
    }
    ordered_.notify_one();
}

void SnapshotWriter::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ordered_.wait(lock, [this] { return order_ || is_ending_; });
        if (!order_) return;
        Order order = *std::exchange(order_, std::nullopt);
        lock.unlock();
        const std::string bytes = encode_snapshot(order.snapshot);
        order.snapshot.sets.clear();
        loop_.post([alive = is_alive_,
                    done = std::move(order.done),
                    written = files_.write_atomic(path_, bytes)] {
            if (*alive) done(written);
        });
        lock.lock();
    }
}

}  // namespace datapunk::mesh::discovery
