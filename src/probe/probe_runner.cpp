#include "probe/probe_runner.h"

#include <algorithm>
#include <utility>

#include "health/check_schedule.h"
#include "health/health_state.h"

namespace datapunk::mesh::probe {

namespace {

HealthCheck thresholds(const ProbeDefinition& definition) {
    HealthCheck check;
    check.kind = HealthCheck::Kind::http;  // or any other that is probed: the counts apply
    check.interval = definition.interval;
    check.timeout = definition.timeout;
    check.successes_before_passing = std::max(definition.successes_before_passing, 1U);
    check.failures_before_critical = std::max(definition.failures_before_critical, 1U);
    return check;
}

}  // namespace

// One check: its timer, its place in the queue, its probe in flight. Destroying it ends all three.
class ProbeRunner::Check final : public core::ListNode {
  public:
    Check(ProbeRunner& runner, std::string id, ProbeDefinition definition, Health initial)
        : runner_(runner),
          id_(std::move(id)),
          definition_(std::move(definition)),
          loop_(runner.network_.loop()),
          schedule_(definition_.interval, loop_.now(), loop_.rng(), definition_.jitter),
          state_(thresholds(definition_), initial, loop_.now(), definition_.grace) {
        loop_.timers().arm(due_, schedule_.next_at());
    }

    ~Check() {
        if (is_running_) runner_.ended();
    }

    const ProbeDefinition& definition() const noexcept { return definition_; }

    void start() {
        is_running_ = true;
        task_.spawn(run(this));
    }

  private:
    struct Due final : io::Timer {
        explicit Due(Check& owner)
            : Timer([](Timer& timer) { static_cast<Due&>(timer).check.on_due(); }), check(owner) {}

        Check& check;
    };

    // Results are reported from the loop, not from inside the task: the listener may remove us.
    struct Done final : io::Ready {
        explicit Done(Check& owner) : check(owner) {}

        void run() override { check.on_done(); }

        Check& check;
    };

    void on_due() {
        const bool is_due = schedule_.take_due(loop_.now(), loop_.rng());
        loop_.timers().arm(due_, schedule_.next_at());
        if (is_due && !is_running_ && !is_linked()) runner_.wants_to_run(*this);
    }

    static io::Task<void> run(Check* self) {
        const Instant deadline = self->loop_.now() + self->definition_.timeout;
        const ProbeTools tools{
            self->runner_.network_, self->runner_.tls_, self->runner_.processes_
        };
        auto result = co_await probe(tools, self->definition_, deadline);
        self->result_ = std::move(result);
        self->loop_.make_ready(self->done_);
    }

    void on_done() {
        is_running_ = false;
        runner_.ended();
        state_.on_result(result_.status, result_.output, loop_.now());
        const bool is_good = result_.status != Health::critical;
        Health status = state_.status();
        const bool warns = !is_good && status != Health::critical &&
                           definition_.failures_before_warning > 0 &&
                           state_.failures_in_a_row() >= definition_.failures_before_warning;
        if (warns) status = Health::warning;
        // What failures made a warning, only enough successes end.
        const bool still_warned =
            is_warned_ && is_good &&
            state_.successes_in_a_row() < definition_.successes_before_passing;
        const bool counts = warns || (is_good == (status != Health::critical) && !still_warned);
        if (!counts) return;
        is_warned_ = warns;
        const std::string id = id_;
        runner_.report_(id, status, result_.output);  // may destroy us
    }

    ProbeRunner& runner_;
    std::string id_;
    ProbeDefinition definition_;
    io::Loop& loop_;
    health::CheckSchedule schedule_;
    health::HealthState state_;
    ProbeResult result_;
    bool is_running_ = false;
    bool is_warned_ = false;
    Due due_{*this};
    Done done_{*this};
    io::TaskGroup task_;
};

ProbeRunner::ProbeRunner(
    io::Network& network, Report report, std::size_t concurrent_max, io::Processes* processes
)
    : network_(network),
      report_(std::move(report)),
      concurrent_max_(concurrent_max),
      processes_(processes) {}

ProbeRunner::~ProbeRunner() {
    concurrent_max_ = 0;  // what ends now starts nothing
    checks_.clear();
}

void ProbeRunner::set(const std::string& id, ProbeDefinition definition, Health initial) {
    std::unique_ptr<Check>& check = checks_[id];
    if (check != nullptr && check->definition() == definition) return;
    check = std::make_unique<Check>(*this, id, std::move(definition), initial);
}

void ProbeRunner::remove(std::string_view id) {
    const auto found = checks_.find(id);
    if (found == checks_.end()) return;
    const std::unique_ptr<Check> gone = std::move(found->second);
    checks_.erase(found);
}

void ProbeRunner::wants_to_run(Check& check) {
    if (running_ >= concurrent_max_) {
        waiting_.push_back(check);
        return;
    }
    ++running_;
    check.start();
}

void ProbeRunner::ended() {
    --running_;
    if (running_ >= concurrent_max_) return;
    if (Check* next = waiting_.pop_front(); next != nullptr) {
        ++running_;
        next->start();
    }
}

}  // namespace datapunk::mesh::probe
