#pragma once

// What the loads on a registry share: requests of Consul's API, the numbers of a list of times, and
// the clock of an fsync.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http_load.h"

namespace datapunk::mesh::load {

std::string registration(std::string_view service, std::uint64_t id, std::uint64_t version = 0);
// The check of a registration() says passing or warning.
std::string flip(std::string_view service, std::uint64_t id, bool passes);
std::string health(std::string_view service, std::uint64_t after = 0);
// Ends the program if it was not.
void expect_ok(const LoadAnswer& answer, std::string_view what);
void add_instances(
    HttpLoad& load, std::size_t control, std::string_view service, std::uint64_t instances
);
// Members of a JSON object: count, first, p50, p99, last.
std::string times(std::vector<double>& sorted_later);

// What a commit of the registry's log costs on this disk right now: as many bytes, and an fsync.
class FsyncClock {
  public:
    explicit FsyncClock(const std::string& directory);
    ~FsyncClock();
    FsyncClock(const FsyncClock&) = delete;
    FsyncClock& operator=(const FsyncClock&) = delete;

    double milliseconds() const;

  private:
    std::string path_;
    int fd_;
};

}  // namespace datapunk::mesh::load
