#include "registry_requests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace datapunk::mesh::load {

std::string registration(std::string_view service, std::uint64_t id, std::uint64_t version) {
    // A TTL check that nobody renews meanwhile: an instance as real ones look, and no work of its
    // own for the registry.
    return put_request(
        "/v1/agent/service/register",
        fmt::format(
            R"({{"Name":"{0}","ID":"{0}-{1}","Address":"10.0.{2}.{3}","Port":{4},"Tags":["v1"],)"
            R"("Meta":{{"version":"{5}"}},"Check":{{"TTL":"3600s","Status":"passing"}}}})",
            service,
            id,
            id / 250 % 250,
            id % 250 + 1,
            8000 + id % 1000,
            version
        )
    );
}

std::string flip(std::string_view service, std::uint64_t id, bool passes) {
    return put_request(
        fmt::format("/v1/agent/check/{}/service:{}-{}", passes ? "pass" : "warn", service, id), ""
    );
}

std::string health(std::string_view service, std::uint64_t after) {
    if (after == 0) return get_request(fmt::format("/v1/health/service/{}", service));
    return get_request(fmt::format("/v1/health/service/{}?index={}&wait=120s", service, after));
}

void expect_ok(const LoadAnswer& answer, std::string_view what) {
    if (answer.status == 200) return;
    fmt::print(stderr, "registry_load: {} was answered {}\n", what, answer.status);
    std::exit(1);
}

void add_instances(
    HttpLoad& load, std::size_t control, std::string_view service, std::uint64_t instances
) {
    for (std::uint64_t id = 0; id < instances; ++id) {
        expect_ok(load.ask(control, registration(service, id)), "a registration");
    }
}

std::string times(std::vector<double>& sorted_later) {
    std::sort(sorted_later.begin(), sorted_later.end());
    if (sorted_later.empty()) return R"("count":0)";
    return fmt::format(
        R"("count":{},"first":{:.3f},"p50":{:.3f},"p99":{:.3f},"last":{:.3f})",
        sorted_later.size(),
        sorted_later.front(),
        percentile(sorted_later, 0.5),
        percentile(sorted_later, 0.99),
        sorted_later.back()
    );
}

FsyncClock::FsyncClock(const std::string& directory)
    : path_(directory + "/fsync"),
      fd_(::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) {
    if (fd_ < 0) std::exit(1);
}

FsyncClock::~FsyncClock() {
    ::close(fd_);
    ::unlink(path_.c_str());
}

double FsyncClock::milliseconds() const {
    const std::string frames(2 * 4120, 'x');  // what one commit writes: two frames of the WAL
    const Clock::time_point start = Clock::now();
    if (::write(fd_, frames.data(), frames.size()) < 0 || ::fsync(fd_) != 0) std::exit(1);
    return in_ms(Clock::now() - start);
}

}  // namespace datapunk::mesh::load
