#include "apps/certificates.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/hash.h"
#include "io/files.h"
#include "metrics/names.h"

namespace datapunk::mesh::apps {

namespace {

using namespace std::chrono_literals;

// Certificate and key are two files: after a change of one the other gets this long to follow.
constexpr Duration kSettle = 250ms;
// Where the kernel tells no changes (network file systems, no inotify instances left), and how old
// the warning of what expires may be.
constexpr Duration kLook = 30s;
// Ticket keys are as old as their context; whoever stole one could read recorded TLS 1.2 sessions.
constexpr Duration kRenew = 12h;
constexpr int kWarnDays = 14;
constexpr std::size_t kFileBytesMax = 4UL << 20;

bool is_path(const std::string& source) {
    return !source.empty() && source.find("-----BEGIN") == std::string::npos;
}

std::vector<std::string> protocols(Alpn alpn) {
    switch (alpn) {
        case Alpn::http:
            return {"h2", "http/1.1"};
        case Alpn::http1:
            return {"http/1.1"};
        case Alpn::none:
            break;
    }
    return {};
}

io::TlsVersion version_of(config::TlsVersionChoice choice) {
    return choice == config::TlsVersionChoice::tls13 ? io::TlsVersion::tls13
                                                     : io::TlsVersion::tls12;
}

// Of what a path leads to, a file or a directory of them.
std::uint64_t content_hash(const std::string& path) {
    io::KernelFiles files;
    std::error_code failed;
    if (!std::filesystem::is_directory(path, failed)) {
        const auto text = files.read(path, kFileBytesMax);
        return text ? core::hash64(*text) : 0;
    }
    std::uint64_t all = 1;
    if (const auto names = files.list(path); names) {
        for (const std::string& name : *names)
            all = core::hash64(name) ^ (all * 31) ^ content_hash(path + "/" + name);
    }
    return all;
}

std::uint64_t fingerprint_of(const std::vector<std::string>& paths) {
    std::uint64_t all = 1;
    for (const std::string& path : paths) all = all * 31 + content_hash(path);
    return all;
}

}  // namespace

io::TlsServerConfig tls_config_of(const config::ListenerTlsSection& section, Alpn alpn) {
    io::TlsServerConfig config{
        .certificate_chain = section.certificates.front().certificate,
        .private_key = section.certificates.front().private_key.reveal(),
        .client_ca = section.client_ca,
        .client_certificate_optional =
            section.client_certificate == config::ClientCertificate::optional,
        .alpn = protocols(alpn),
        .min_version = version_of(section.min_version)
    };
    for (std::size_t i = 1; i < section.certificates.size(); ++i) {
        const config::CertificateSection& more = section.certificates[i];
        config.more.push_back({more.certificate, more.private_key.reveal()});
    }
    return config;
}

io::TlsClientConfig tls_config_of(const config::ServiceTlsSection& section, Alpn alpn) {
    return {
        .ca = section.ca,
        .verify_peer = section.verify,
        .certificate_chain = section.certificate,
        .private_key = section.private_key.reveal(),
        .alpn = protocols(alpn),
        .min_version = version_of(section.min_version),
        .peer_uris = section.identities
    };
}

Result<> check_certificates(const config::Config& config) {
    const auto problem = [](const std::string& user, auto made) -> Result<> {
        if (made) return Ok{};
        Error error = std::move(made).error();
        error.what = user + ": " + error.what;
        return error;
    };
    for (const auto& section : config.listeners) {
        if (!section.tls.is_on()) continue;
        auto made = io::TlsContext::server(tls_config_of(section.tls, Alpn::http));
        if (auto usable = problem("listener " + section.name, std::move(made)); !usable)
            return usable;
    }
    const config::ListenerTlsSection& registry = config.registry.embedded.tls;
    if (config.registry.uses(config::RegistryKind::embedded) && registry.is_on()) {
        auto usable =
            problem("registry", io::TlsContext::server(tls_config_of(registry, Alpn::http1)));
        if (!usable) return usable;
    }
    for (const auto& [name, section] : config.services) {
        if (!section.tls.enabled) continue;
        auto made = io::TlsContext::client(tls_config_of(section.tls, Alpn::http1));
        if (auto usable = problem("service " + name, std::move(made)); !usable) return usable;
    }
    if (!config.defaults.tls.enabled) return Ok{};
    return problem(
        "defaults", io::TlsContext::client(tls_config_of(config.defaults.tls, Alpn::http1))
    );
}

struct Certificates::Entry {
    std::string user;
    std::vector<std::string> paths;
    std::function<Made()> make;
    std::shared_ptr<io::TlsSlot> slot;
    std::uint64_t fingerprint = 0;  // of the files when they were last read
    metrics::Counter reloads;
    metrics::Counter failed_reloads;
    metrics::Gauge expiry;
    int warned_days = kWarnDays + 1;

    std::uint64_t current_fingerprint() const { return fingerprint_of(paths); }
};

struct Certificates::Followed {
    std::string path;
    std::unique_ptr<io::KernelFileWatch> watch;  // null: looked at from time to time
};

Certificates::Certificates(io::EpollLoop& loop, metrics::MetricRegistry& metrics, core::Logger log)
    : loop_(loop), metrics_(metrics), log_(std::move(log)), changed_(loop) {}

Certificates::~Certificates() = default;

Result<Certificates::Slot> Certificates::put(std::string user, io::TlsServerConfig config) {
    std::vector<std::string> sources = {
        config.certificate_chain, config.private_key, config.client_ca
    };
    for (const io::TlsIdentity& more : config.more) {
        sources.push_back(more.certificate_chain);
        sources.push_back(more.private_key);
    }
    return put(std::move(user), std::move(sources), [config = std::move(config)] {
        return io::TlsContext::server(config);
    });
}

Result<Certificates::Slot> Certificates::put(std::string user, io::TlsClientConfig config) {
    std::vector<std::string> sources = {config.certificate_chain, config.private_key, config.ca};
    return put(std::move(user), std::move(sources), [config = std::move(config)] {
        return io::TlsContext::client(config);
    });
}

Result<Certificates::Slot> Certificates::put(
    std::string user, std::vector<std::string> sources, std::function<Made()> make
) {
    const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
        return entry->user == user;
    });
    std::unique_ptr<Entry> fresh;
    if (known == entries_.end()) {
        fresh = std::make_unique<Entry>();
        fresh->user = std::move(user);
    }
    Entry& entry = fresh == nullptr ? **known : *fresh;
    std::vector<std::string> paths;
    std::copy_if(sources.begin(), sources.end(), std::back_inserter(paths), is_path);
    const std::uint64_t fingerprint = fingerprint_of(paths);  // before they are read
    auto made = make();
    if (!made) {
        Error error = std::move(made).error();
        error.what = entry.user + ": " + error.what;
        return error;
    }
    entry.paths = std::move(paths);
    entry.make = std::move(make);
    entry.fingerprint = fingerprint;
    if (fresh == nullptr) {
        entry.slot->set(*std::move(made));
        entry.warned_days = kWarnDays + 1;
    } else {
        entry.slot = std::make_shared<io::TlsSlot>(*std::move(made));
        const auto& reloads = metrics::names::kTlsReloads;
        entry.reloads = metrics_.counter(reloads, {entry.user, "ok"}, {});
        entry.failed_reloads = metrics_.counter(reloads, {entry.user, "error"}, {});
        entries_.push_back(std::move(fresh));
    }
    note_expiry(entry);
    if (is_started_) {
        for (const std::string& path : entry.paths) follow(path);
    }
    return Slot(entry.slot);
}

Result<Certificates::Slot> Certificates::find(std::string_view user) const {
    for (const auto& entry : entries_) {
        if (entry->user == user) return Slot(entry->slot);
    }
    return Slot();
}

void Certificates::drop(std::string_view user) {
    std::erase_if(entries_, [&](const auto& entry) { return entry->user == user; });
}

void Certificates::start() {
    renewed_ = loop_.now();
    is_started_ = true;
    for (const auto& entry : entries_) {
        for (const std::string& path : entry->paths) follow(path);
    }
    tasks_.spawn(reload_loop());
}

void Certificates::follow(const std::string& path) {
    const bool is_followed = std::any_of(followed_.begin(), followed_.end(), [&](const auto& one) {
        return one->path == path;
    });
    if (is_followed) return;
    auto file = std::make_unique<Followed>();
    file->path = path;
    auto watch = io::KernelFileWatch::create(loop_, path);
    if (watch) {
        file->watch = *std::move(watch);
    } else {
        log_.warn(
            "certificate file is looked at every 30 s only",
            {{"file", path}, {"why", watch.error().what}}
        );
    }
    followed_.push_back(std::move(file));
    if (followed_.back()->watch != nullptr) tasks_.spawn(follow_file(*followed_.back()));
}

io::Task<void> Certificates::follow_file(Followed& file) {
    for (;;) {
        // If that fails there is nothing to follow until the next look.
        static_cast<void>(file.watch->refresh());
        auto told = co_await file.watch->changed(loop_.now() + kLook);
        if (told) changed_.set();
    }
}

io::Task<void> Certificates::reload_loop() {
    for (;;) {
        const bool told = co_await changed_.wait(loop_.now() + kLook);
        if (told) co_await io::sleep_for(loop_, kSettle);
        changed_.clear();
        if (loop_.now() - renewed_ >= kRenew) {
            reload();
        } else {
            reload_changed();
        }
        for (const auto& entry : entries_) note_expiry(*entry);
    }
}

void Certificates::reload_changed() {
    for (const auto& entry : entries_) {
        const std::uint64_t fingerprint = entry->current_fingerprint();
        if (fingerprint != entry->fingerprint) reload(*entry, fingerprint);
    }
}

void Certificates::reload() {
    renewed_ = loop_.now();
    for (const auto& entry : entries_) reload(*entry, entry->current_fingerprint());
}

void Certificates::reload(Entry& entry, std::uint64_t fingerprint) {
    entry.fingerprint = fingerprint;
    auto made = entry.make();
    (made ? entry.reloads : entry.failed_reloads).add();
    if (!made) {
        log_.error(
            "certificates cannot be used: the old ones stay in use",
            {{"user", entry.user}, {"why", made.error().what}}
        );
        return;
    }
    entry.slot->set(*std::move(made));
    entry.warned_days = kWarnDays + 1;
    note_expiry(entry);
    log_.info("certificates read anew", {{"user", entry.user}});
}

// Warned of once a day from two weeks before the end, but of short-lived ones not before two thirds
// of their life are over.
void Certificates::note_expiry(Entry& entry) {
    const auto context = entry.slot->get();
    const WallTime end = context->expires_at();
    if (end == WallTime::max()) return;
    const auto left = end - loop_.wall_now();
    const int days = static_cast<int>(std::chrono::floor<std::chrono::days>(left).count());
    entry.expiry = metrics_.gauge(metrics::names::kTlsCertificateExpiry, {entry.user}, {});
    entry.expiry.set(static_cast<double>(
        std::chrono::floor<std::chrono::seconds>(end.time_since_epoch()).count()
    ));
    const bool is_late = left < (end - context->valid_from()) / 3;
    if (days >= kWarnDays || days >= entry.warned_days || !is_late) return;
    entry.warned_days = days;
    log_.warn(
        days < 0 ? "certificate has expired" : "certificate expires soon",
        {{"user", entry.user}, {"days_left", days}}
    );
}

}  // namespace datapunk::mesh::apps
