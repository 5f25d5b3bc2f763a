#include "io/incarnation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace datapunk::mesh::io {

namespace {

constexpr int kStartField = 22;  // of /proc/PID/stat, see proc(5)

std::string read_small(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    std::array<char, 1024> bytes;
    const ssize_t size = ::read(fd, bytes.data(), bytes.size());
    ::close(fd);
    return size > 0 ? std::string(bytes.data(), static_cast<std::size_t>(size)) : std::string();
}

std::string letters_of(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0) out += c;
    }
    return out;
}

// Everything but the process: the boot and the pid namespace.
std::string place() {
    std::array<char, 64> name;
    const ssize_t size = ::readlink("/proc/self/ns/pid", name.data(), name.size());
    const std::string boot = letters_of(read_small("/proc/sys/kernel/random/boot_id"));
    if (size <= 0 || boot.empty()) return {};
    const std::string_view space(name.data(), static_cast<std::size_t>(size));
    return fmt::format("{}.{}", boot, letters_of(space));
}

// When the process began, in ticks after the boot. Empty: there is none.
std::string start_of(std::string_view pid) {
    const std::string stat = read_small(fmt::format("/proc/{}/stat", pid));
    // The second field is the name in brackets, which may contain anything.
    std::size_t at = stat.rfind(')');
    if (at == std::string::npos) return {};
    for (int field = 2; field < kStartField && at != std::string::npos; ++field) {
        at = stat.find(' ', at + 1);
    }
    if (at == std::string::npos) return {};
    const std::size_t end = std::min(stat.find(' ', at + 1), stat.size());
    return stat.substr(at + 1, end - at - 1);
}

}  // namespace

std::string incarnation() {
    const std::string where = place();
    const std::string start = start_of("self");
    if (where.empty() || start.empty()) return {};
    return fmt::format("{}.{}.{}", where, ::getpid(), start);
}

Life life_of(std::string_view text) {
    const std::string here = place();
    if (here.empty() || !text.starts_with(here + ".")) return Life::unknown;
    text.remove_prefix(here.size() + 1);
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos || dot == 0 || dot > 10) return Life::unknown;
    const std::string_view pid = text.substr(0, dot);
    const std::string_view start = text.substr(dot + 1);
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (start.empty() || !std::all_of(pid.begin(), pid.end(), is_digit) ||
        !std::all_of(start.begin(), start.end(), is_digit)) {
        return Life::unknown;
    }
    return start_of(pid) == start ? Life::alive : Life::dead;
}

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) return "localhost";
    return name.data();
}

}  // namespace datapunk::mesh::io
