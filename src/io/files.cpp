#include "io/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace datapunk::mesh::io {

namespace {

class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}

    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }

    int get() const noexcept { return fd_; }

  private:
    int fd_;
};

// 0, or an errno.
int write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::write(fd, bytes.data(), bytes.size());
        if (sent < 0 && errno != EINTR) return errno;
        if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return 0;
}

int sync_directory(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return fd.get() >= 0 && ::fsync(fd.get()) == 0 ? 0 : errno;
}

}  // namespace

Error file_error(std::string_view verb, const std::string& path, int error) {
    Code code = Code::internal;
    if (error == ENOENT) code = Code::not_found;
    if (error == EACCES || error == EPERM) code = Code::denied;
    if (error == ENOSPC || error == EDQUOT || error == EMFILE) code = Code::exhausted;
    return {.code = code, .what = fmt::format("{} {}: {}", verb, path, std::strerror(error))};
}

Error file_too_large(const std::string& path, std::size_t bytes_max) {
    return {
        .code = Code::exhausted, .what = fmt::format("read {}: more than {} bytes", path, bytes_max)
    };
}

Result<std::string> KernelFiles::read(const std::string& path, std::size_t bytes_max) {
    // Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd.get() < 0) return file_error("read", path, errno);
    struct stat about{};
    if (::fstat(fd.get(), &about) != 0) return file_error("read", path, errno);
    if (S_ISDIR(about.st_mode)) return file_error("read", path, EISDIR);
    if (!S_ISREG(about.st_mode)) {
        return Error{
            .code = Code::invalid, .what = fmt::format("read {}: it is not a regular file", path)
        };
    }
    std::string bytes;
    char buffer[16'384];
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return file_error("read", path, errno);
        if (got == 0) return bytes;
        bytes.append(buffer, static_cast<std::size_t>(got));
        if (bytes.size() > bytes_max) return file_too_large(path, bytes_max);
    }
}

Result<> KernelFiles::write_atomic(const std::string& path, std::string_view bytes) {
    // In the same directory: a rename is atomic only within one file system.
    std::string temporary = path + ".XXXXXX";
    int error = 0;
    {
        const Descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
        if (fd.get() < 0) return file_error("write", path, errno);
        error = write_all(fd.get(), bytes);
        if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
    }
    if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) {
        ::unlink(temporary.c_str());
        return file_error("write", path, error);
    }
    error = sync_directory(path);
    if (error != 0) return file_error("write", path, error);
    return Ok{};
}

Result<std::vector<std::string>> KernelFiles::list(const std::string& directory) {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return file_error("list", directory, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
        const std::string_view name(entry->d_name);
        if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(stream);
    if (error != 0) return file_error("list", directory, error);
    std::sort(names.begin(), names.end());
    return names;
}

Result<> KernelFiles::remove(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return file_error("remove", path, errno);
    return Ok{};
}

}  // namespace datapunk::mesh::io
