#pragma once

// ProbeRunner: a set of active checks, each run on its own jittered schedule, with the thresholds
// applied. What it learns goes to one listener.
//
//     set(id, definition) ─> schedule ─ due ─> probe ─> HealthState (rise, fall) ─> report
//          same id: replaced, a probe in flight is dropped        │
//          remove(id)                                             └─ only results that count
//
// At most `concurrent_max` probes run at once; the rest wait their turn in order. One loop's
// object; the network must outlive it.

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "io/network.h"
#include "io/task.h"
#include "probe/probe.h"

namespace datapunk::mesh::probe {

class ProbeRunner {
  public:
    // The check's status as of now and what the last probe said. Called for each result that
    // counts: not for a success or failure that has not come often enough in a row yet.
    using Report = std::function<void(const std::string& id, Health status, std::string output)>;

    static constexpr std::size_t kConcurrentMax = 256;  // sockets for probes; thousands are queued

    // Without `processes` no program is run: such checks are critical. They outlive the runner.
    ProbeRunner(
        io::Network& network,
        Report report,
        std::size_t concurrent_max = kConcurrentMax,
        io::Processes* processes = nullptr
    );
    ~ProbeRunner();
    ProbeRunner(const ProbeRunner&) = delete;
    ProbeRunner& operator=(const ProbeRunner&) = delete;

    // Starts the check, first within one interval; one that is set already with the same
    // definition goes on as it is.
    void set(const std::string& id, ProbeDefinition definition, Health initial);
    void remove(std::string_view id);

    std::size_t size() const noexcept { return checks_.size(); }

    std::size_t running() const noexcept { return running_; }

  private:
    class Check;

    void wants_to_run(Check& check);
    void ended();

    io::Network& network_;
    Report report_;
    std::size_t concurrent_max_;
    TlsContexts tls_;
    io::Processes* processes_;
    std::size_t running_ = 0;
    core::IntrusiveList<Check> waiting_;
    std::map<std::string, std::unique_ptr<Check>, std::less<>> checks_;
};

}  // namespace datapunk::mesh::probe
