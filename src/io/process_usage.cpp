#include "io/process_usage.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

namespace datapunk::mesh::io {

namespace {

Duration of(const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

std::uint64_t resident_bytes() {
    std::FILE* file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr) return 0;
    unsigned long long total = 0;
    unsigned long long resident = 0;
    const int fields = std::fscanf(file, "%llu %llu", &total, &resident);
    std::fclose(file);
    return fields == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

std::uint64_t open_fds() {
    DIR* folder = opendir("/proc/self/fd");
    if (folder == nullptr) return 0;
    std::uint64_t count = 0;
    while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
    closedir(folder);
    return count - 1;  // less the one that reads the folder
}

// The process's age from its start tick and the uptime, both since boot.
WallTime started_at() {
    const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    std::FILE* file = std::fopen("/proc/self/stat", "re");
    if (file == nullptr) return now;
    char line[1024] = {};
    const std::size_t got = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    // Field 22; the second one, the name in brackets, may hold anything.
    const char* at = line + got;
    while (at > line && *at != ')') --at;
    unsigned long long start_ticks = 0;
    if (std::sscanf(
            at,
            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
            &start_ticks
        ) != 1)
        return now;
    timespec since_boot{};
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    const Duration uptime =
        std::chrono::seconds(since_boot.tv_sec) + std::chrono::nanoseconds(since_boot.tv_nsec);
    const Duration start = std::chrono::nanoseconds(
        start_ticks * (1'000'000'000ULL / static_cast<unsigned long long>(sysconf(_SC_CLK_TCK)))
    );
    return now - (uptime - start);
}

}  // namespace

ProcessUsage read_process_usage() {
    ProcessUsage usage;
    usage.resident_bytes = resident_bytes();
    usage.open_fds = open_fds();
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.max_fds = limit.rlim_cur;
    rusage used{};
    if (getrusage(RUSAGE_SELF, &used) == 0) usage.cpu = of(used.ru_utime) + of(used.ru_stime);
    usage.started_at = started_at();
    return usage;
}

void raise_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace datapunk::mesh::io
