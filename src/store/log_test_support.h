#pragma once

// What the store's tests share: a directory of their own, and waiting for a log's answers.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/sqlite_log.h"

namespace datapunk::mesh::store {

class TemporaryDirectory {
  public:
    TemporaryDirectory() : path_(testing::TempDir() + "mesh-store-XXXXXX") {
        EXPECT_NE(::mkdtemp(path_.data()), nullptr);
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

inline std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::unique_ptr<SqliteLog> opened(const std::string& path) {
    Result<std::unique_ptr<SqliteLog>> log = SqliteLog::open({.path = path});
    EXPECT_TRUE(log.ok()) << log.error().what;
    return log.ok() ? std::move(log).value() : nullptr;
}

// Opens and loads; the error of whichever fails.
inline Result<StoredState> loaded(const std::string& path) {
    Result<std::unique_ptr<SqliteLog>> log = SqliteLog::open({.path = path});
    if (!log) return std::move(log).error();
    return (*log)->load();
}

inline Result<std::uint64_t> append_and_wait(CommandLog& log, std::vector<std::string> records) {
    // Shared: set_value() may still be at work when the answer is here already.
    const auto answer = std::make_shared<std::promise<Result<std::uint64_t>>>();
    const Result<> taken = log.append(std::move(records), [answer](Result<std::uint64_t> result) {
        answer->set_value(std::move(result));
    });
    if (!taken) return taken.error();
    return answer->get_future().get();
}

inline Result<StoredState> read_back_and_wait(CommandLog& log, std::uint64_t up_to_seq) {
    const auto answer = std::make_shared<std::promise<Result<StoredState>>>();
    const Result<> taken = log.read_back(up_to_seq, [answer](Result<StoredState> state) {
        answer->set_value(std::move(state));
    });
    if (!taken) return taken.error();
    return answer->get_future().get();
}

inline Result<> snapshot_and_wait(CommandLog& log, std::string bytes, std::uint64_t up_to_seq) {
    // Shared: set_value() may still be at work when the answer is here already.
    const auto answer = std::make_shared<std::promise<Result<>>>();
    const Result<> taken =
        log.write_snapshot(std::move(bytes), up_to_seq, [answer](Result<> result) {
            answer->set_value(std::move(result));
        });
    if (!taken) return taken.error();
    return answer->get_future().get();
}

}  // namespace datapunk::mesh::store
