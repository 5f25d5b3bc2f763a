#include "proxy/paths.h"

namespace datapunk::mesh::proxy {

namespace {

// Dots in the segment if it has nothing else (at most 2 matter), else 0.
int only_dots(std::string_view segment) noexcept {
    int dots = 0;
    while (!segment.empty()) {
        if (segment.front() == '.') {
            segment.remove_prefix(1);
        } else if (segment.size() >= 3 && segment[0] == '%' && segment[1] == '2' &&
                   (segment[2] == 'e' || segment[2] == 'E')) {
            segment.remove_prefix(3);
        } else {
            return 0;
        }
        ++dots;
    }
    return dots;
}

}  // namespace

bool has_dot_segment(std::string_view target) noexcept {
    std::string_view path = target.substr(0, target.find('?'));
    if (path.find('.') == std::string_view::npos && path.find('%') == std::string_view::npos)
        return false;
    while (!path.empty()) {
        const std::size_t slash = path.find_first_of("/\\");
        const int dots = only_dots(path.substr(0, slash));
        if (dots == 1 || dots == 2) return true;
        if (slash == std::string_view::npos) return false;
        path.remove_prefix(slash + 1);
    }
    return false;
}

}  // namespace datapunk::mesh::proxy
