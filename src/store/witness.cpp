#include "store/witness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/hash.h"

namespace datapunk::mesh::store {

namespace {

struct Said {
    std::uint64_t seq = 0;
    std::uint64_t sum = 0;
};

std::uint64_t sum_of(std::uint64_t seq) {
    std::array<char, sizeof seq> bytes{};
    std::memcpy(bytes.data(), &seq, sizeof seq);
    return core::hash64(std::string_view(bytes.data(), bytes.size()), 0x7769746e);
}

}  // namespace

Result<Witness> Witness::open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) return Witness(fd);
    return Error{
        .code = Code::unavailable, .what = fmt::format("{}: open: {}", path, std::strerror(errno))
    };
}

std::optional<std::uint64_t> Witness::read(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    Said said;
    const ssize_t got = ::read(fd, &said, sizeof said);
    ::close(fd);
    if (got != ssize_t{sizeof said} || said.sum != sum_of(said.seq)) return std::nullopt;
    return said.seq;
}

Witness::Witness(Witness&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Witness& Witness::operator=(Witness&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Witness::~Witness() {
    if (fd_ >= 0) ::close(fd_);
}

void Witness::put(std::uint64_t seq) noexcept {
    const Said said{.seq = seq, .sum = sum_of(seq)};
    // A witness that could not be written proves less; the log itself is not the worse for it.
    [[maybe_unused]] const ssize_t written = ::pwrite(fd_, &said, sizeof said, 0);
}

void Witness::sync() noexcept {
    (void)::fdatasync(fd_);
}

}  // namespace datapunk::mesh::store
