// ServiceDiscovery: the disk snapshot, read at the start and written after changes.

#include <algorithm>
#include <utility>

#include "discovery/service_discovery.h"

namespace datapunk::mesh::discovery {

namespace {

// Without a change: so that the ages in the file are not much older than what they speak of.
constexpr Duration kSaveAtLeastEvery = std::chrono::minutes(5);

}  // namespace

ServiceDiscovery::~ServiceDiscovery() {
    if (snapshot_writer_ != nullptr && has_news_) save();
}

void ServiceDiscovery::use_snapshot(io::Files& files, SnapshotWriter::Where where) {
    const std::string& path = context_.config.snapshot_file;
    if (path.empty()) return;
    context_.snapshot_read = context_.loop.now();
    load_snapshot(files);
    snapshot_writer_ = std::make_unique<SnapshotWriter>(context_.loop, files, path, where);
    context_.on_news = [this] { save_soon(); };
    context_.loop.timers().arm(save_due_, context_.loop.now() + kSaveAtLeastEvery);
}

void ServiceDiscovery::load_snapshot(io::Files& files) {
    const std::string& path = context_.config.snapshot_file;
    std::string_view& outcome = context_.stats.snapshot_load;
    const auto bytes = files.read(path, kSnapshotBytesMax);
    if (!bytes) {
        outcome = bytes.error().code == Code::not_found ? "absent" : "error";
        if (outcome == "absent") return;
        context_.log.warn("the snapshot cannot be read", {{"error", bytes.error().what}});
        return;
    }
    auto snapshot = decode_snapshot(*bytes);
    if (!snapshot) {
        outcome = "damaged";
        context_.log.warn(
            "the snapshot is not used", {{"file", path}, {"error", snapshot.error().what}}
        );
        return;
    }
    // A wall clock that has gone back says nothing about how long ago this was.
    const Duration since =
        std::max<Duration>(context_.loop.wall_now() - snapshot->saved_at, Duration::zero());
    const std::size_t all = snapshot->sets.size();
    for (AgedSet& one : snapshot->sets) {
        one.age += since;
        if (one.age >= context_.config.snapshot_max_age) continue;
        std::string name = one.set->service;
        context_.snapshot.insert_or_assign(std::move(name), std::move(one));
    }
    outcome = context_.snapshot.empty() && all > 0 ? "old" : "ok";
    context_.log.info(
        "the snapshot was read",
        {{"file", path},
         {"services", context_.snapshot.size()},
         {"too_old", all - context_.snapshot.size()}}
    );
}

void ServiceDiscovery::keep_on_disk(const std::string& name, const FollowedService& one) {
    const EndpointSetPtr& set = one.latest();
    if (snapshot_writer_ == nullptr || set == nullptr || set->endpoints.empty()) return;
    const bool is_new = !context_.snapshot.contains(name);
    if (is_new && context_.snapshot.size() >= context_.config.services_max) return;
    // Its age as of snapshot_read, as the others' ages; below zero if it was confirmed since.
    context_.snapshot[name] = {.set = set, .age = context_.snapshot_read - one.learned_at()};
}

void ServiceDiscovery::save_soon() {
    const Instant now = context_.loop.now();
    if (std::exchange(has_news_, true) && save_due_.is_armed()) return;
    const double part = 0.5 + context_.rng.unit() / 2;  // not all processes of a machine at once
    const auto delay = std::chrono::duration_cast<Duration>(context_.config.snapshot_delay * part);
    context_.loop.timers().arm(save_due_, now + delay);
}

void ServiceDiscovery::save() {
    const Instant now = context_.loop.now();
    Snapshot snapshot{.saved_at = context_.loop.wall_now(), .sets = {}};
    for (const auto& [name, one] : services_) {
        const EndpointSetPtr& set = one->latest();
        if (set == nullptr || set->endpoints.empty()) continue;
        snapshot.sets.push_back({.set = set, .age = now - one->learned_at()});
    }
    // What nobody has asked for since the start; it may be wanted after the next one.
    for (const auto& [name, one] : context_.snapshot) {
        const Duration age = one.age + (now - context_.snapshot_read);
        const auto known = services_.find(name);
        const bool is_known = known != services_.end() && known->second->latest() != nullptr;
        if (is_known || age >= context_.config.snapshot_max_age) continue;
        snapshot.sets.push_back({.set = one.set, .age = age});
    }
    has_news_ = false;
    context_.loop.timers().arm(save_due_, now + kSaveAtLeastEvery);
    snapshot_writer_->write(std::move(snapshot), [this](const Result<>& written) {
        on_saved(written);
    });
}

void ServiceDiscovery::on_saved(const Result<>& written) {
    ++(written ? context_.stats.snapshots_written : context_.stats.snapshots_failed);
    if (!written && !std::exchange(is_save_failing_, true)) {
        context_.log.warn("the snapshot cannot be written", {{"error", written.error().what}});
    } else if (written && std::exchange(is_save_failing_, false)) {
        context_.log.info("the snapshot is written again");
    }
}

}  // namespace datapunk::mesh::discovery
