#pragma once

// SimFiles: a disk in memory that can be full or broken. Paths are plain keys; a directory exists
// if a file's path begins with it.

#include <map>
#include <string>

#include "io/files.h"

namespace datapunk::mesh::sim {

class SimFiles final : public io::Files {
  public:
    // Every read, write or removal fails with this errno (ENOSPC, EIO, EACCES …); 0 = healthy.
    void fail_reads(int error) { read_error_ = error; }

    void fail_writes(int error) { write_error_ = error; }

    // ENOSPC beyond this much in all files together.
    void set_capacity(std::size_t bytes) { capacity_bytes_ = bytes; }

    Result<std::string> read(const std::string& path, std::size_t bytes_max) override;
    Result<> write_atomic(const std::string& path, std::string_view bytes) override;
    Result<std::vector<std::string>> list(const std::string& directory) override;
    Result<> remove(const std::string& path) override;

  private:
    std::map<std::string, std::string> files_;
    int read_error_ = 0;
    int write_error_ = 0;
    std::size_t capacity_bytes_ = SIZE_MAX;
};

}  // namespace datapunk::mesh::sim
