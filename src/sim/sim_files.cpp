#include "sim/sim_files.h"

#include <cerrno>
#include <set>

namespace datapunk::mesh::sim {

Result<std::string> SimFiles::read(const std::string& path, std::size_t bytes_max) {
    if (read_error_ != 0) return io::file_error("read", path, read_error_);
    const auto found = files_.find(path);
    if (found == files_.end()) return io::file_error("read", path, ENOENT);
    if (found->second.size() > bytes_max) return io::file_too_large(path, bytes_max);
    return found->second;
}

Result<> SimFiles::write_atomic(const std::string& path, std::string_view bytes) {
    if (write_error_ != 0) return io::file_error("write", path, write_error_);
    std::size_t used = bytes.size();  // the old version is there until the new one is complete
    for (const auto& [name, content] : files_) used += content.size();
    if (used > capacity_bytes_) return io::file_error("write", path, ENOSPC);
    files_[path] = bytes;
    return Ok{};
}

Result<std::vector<std::string>> SimFiles::list(const std::string& directory) {
    if (read_error_ != 0) return io::file_error("list", directory, read_error_);
    const std::string prefix = directory.ends_with('/') ? directory : directory + "/";
    std::set<std::string> names;
    for (const auto& [path, content] : files_) {
        if (!path.starts_with(prefix)) continue;
        const std::string below = path.substr(prefix.size());
        names.insert(below.substr(0, below.find('/')));
    }
    if (names.empty()) return io::file_error("list", directory, ENOENT);
    return std::vector<std::string>(names.begin(), names.end());
}

Result<> SimFiles::remove(const std::string& path) {
    if (write_error_ != 0) return io::file_error("remove", path, write_error_);
    files_.erase(path);
    return Ok{};
}

}  // namespace datapunk::mesh::sim
