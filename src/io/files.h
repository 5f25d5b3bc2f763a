#pragma once

// Files: whole small files. Blocking, for start-up, configuration, snapshots and reloads; not for
// the request path. Real: KernelFiles; simulated: sim::SimFiles with full and broken disks.

#include <datapunk/mesh/result.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::io {

class Files {
  public:
    virtual ~Files() = default;

    // Code::not_found; Code::exhausted if there is more than `bytes_max`.
    virtual Result<std::string> read(const std::string& path, std::size_t bytes_max) = 0;
    // Afterwards the file has the new bytes, also after a power failure; on an error it has the old
    // ones. Never anything between. The directory must exist; mode 0600.
    virtual Result<> write_atomic(const std::string& path, std::string_view bytes) = 0;
    // The names in a directory, sorted, without "." and "..".
    virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
    // Ok also if it did not exist.
    virtual Result<> remove(const std::string& path) = 0;
};

class KernelFiles final : public Files {
  public:
    Result<std::string> read(const std::string& path, std::size_t bytes_max) override;
    Result<> write_atomic(const std::string& path, std::string_view bytes) override;
    Result<std::vector<std::string>> list(const std::string& directory) override;
    Result<> remove(const std::string& path) override;
};

// The Error for an errno, the same from the kernel and the simulation.
Error file_error(std::string_view verb, const std::string& path, int error);
Error file_too_large(const std::string& path, std::size_t bytes_max);

}  // namespace datapunk::mesh::io
