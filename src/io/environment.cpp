#include "io/environment.h"

#include <unistd.h>

#include <string_view>

namespace datapunk::mesh::io {

std::map<std::string, std::string, std::less<>> process_environment() {
    std::map<std::string, std::string, std::less<>> all;
    for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
        const std::string_view entry(*at);
        const std::size_t equals = entry.find('=');
        if (equals == std::string_view::npos) continue;
        all.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return all;
}

}  // namespace datapunk::mesh::io
