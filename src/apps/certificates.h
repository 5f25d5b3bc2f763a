#pragma once

// Certificates: the TLS contexts of listeners and services, made from their files, and made anew
// when those change, when told to (SIGHUP), and twice a day, for fresh ticket keys. Whoever
// connects takes the one in force from a slot; connections keep theirs. What cannot be used is
// refused and told, and the old one stays. Control loop's object.
//
//   put()* at the start -> start() -> file changed -> settled? -> made? -> slot
//                                                                   no  -> log, metric

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/log.h"
#include "io/epoll_loop.h"
#include "io/file_watch.h"
#include "io/task.h"
#include "io/tls_slot.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::apps {

// What is spoken inside is agreed on by ALPN, but for listeners and services that speak tcp: there
// it is not ours to say.
enum class Alpn : std::uint8_t { http, http1, none };

io::TlsServerConfig tls_config_of(const config::ListenerTlsSection& section, Alpn alpn);
io::TlsClientConfig tls_config_of(const config::ServiceTlsSection& section, Alpn alpn);

// Whether every file that the configuration names can be used.
Result<> check_certificates(const config::Config& config);

class Certificates {
  public:
    using Slot = std::shared_ptr<const io::TlsSlot>;

    Certificates(io::EpollLoop& loop, metrics::MetricRegistry& metrics, core::Logger log);
    ~Certificates();

    // `user` is who uses it, in logs, errors and metrics: "listener web", "service api". If that
    // has a slot already, the new context goes into it; after an error the old one stays there.
    Result<Slot> put(std::string user, io::TlsServerConfig config);
    Result<Slot> put(std::string user, io::TlsClientConfig config);
    // The slot of that user; null if it has none.
    Result<Slot> find(std::string_view user) const;
    // Nobody is interested any more. Slots that are held stay as they are.
    void drop(std::string_view user);

    // Follows the files.
    void start();
    // Reads them all anew, changed or not.
    void reload();

  private:
    using Made = Result<std::shared_ptr<const io::TlsContext>>;
    struct Entry;
    struct Followed;

    Result<Slot> put(
        std::string user, std::vector<std::string> sources, std::function<Made()> make
    );
    void follow(const std::string& path);
    io::Task<void> follow_file(Followed& file);
    io::Task<void> reload_loop();
    void reload_changed();
    void reload(Entry& entry, std::uint64_t fingerprint);
    void note_expiry(Entry& entry);

    io::EpollLoop& loop_;
    metrics::MetricRegistry& metrics_;
    core::Logger log_;
    std::vector<std::unique_ptr<Entry>> entries_;
    std::vector<std::unique_ptr<Followed>> followed_;
    io::Event changed_;
    Instant renewed_;  // all of them, last
    bool is_started_ = false;
    io::TaskGroup tasks_;
};

}  // namespace datapunk::mesh::apps
