// Durable appends a second with so many writers waiting at a time. What a commit costs is the
// disk's fsync: compare with BM_Fsync of the same run.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <semaphore>

#include "store/sqlite_log.h"

namespace datapunk::mesh::store {
namespace {

std::string fresh_directory() {
    std::string path = std::filesystem::temp_directory_path() / "mesh-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    return path;
}

void BM_Append(benchmark::State& state) {
    const std::string directory = fresh_directory();
    auto log = std::move(SqliteLog::open({.path = directory + "/log.db"})).value();
    (void)log->load().ok();
    const std::ptrdiff_t writers = state.range(0);
    std::counting_semaphore<> free_writers(writers);
    const std::string record(200, 'r');
    for (auto _ : state) {
        free_writers.acquire();
        (void)log->append(
                     {record}, [&](const Result<std::uint64_t>&) { free_writers.release(); }
        ).ok();
    }
    for (std::ptrdiff_t i = 0; i < writers; ++i) free_writers.acquire();
    state.SetItemsProcessed(state.iterations());
    state.counters["appends_per_commit"] =
        static_cast<double>(state.iterations()) / static_cast<double>(log->commits());
    log.reset();
    std::filesystem::remove_all(directory);
}
BENCHMARK(BM_Append)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime();

void BM_Fsync(benchmark::State& state) {
    const std::string directory = fresh_directory();
    const int fd = ::open((directory + "/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    const std::string frames(2 * 4120, 'x');
    for (auto _ : state) {
        if (::write(fd, frames.data(), frames.size()) < 0 || ::fsync(fd) != 0) std::abort();
    }
    state.SetItemsProcessed(state.iterations());
    ::close(fd);
    std::filesystem::remove_all(directory);
}
BENCHMARK(BM_Fsync)->UseRealTime();

}  // namespace
}  // namespace datapunk::mesh::store
