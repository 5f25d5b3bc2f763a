#include "probe/redirect.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace datapunk::mesh::probe {

namespace {

// RFC 3986 5.2.4, on a path that begins with '/'.
std::string without_dots(std::string_view path) {
    std::vector<std::string_view> kept;
    bool ends_open = false;  // with a '/'
    while (!path.empty()) {
        path.remove_prefix(1);
        const std::size_t end = std::min(path.find('/'), path.size());
        const std::string_view segment = path.substr(0, end);
        path.remove_prefix(end);
        ends_open = segment == "." || segment == "..";
        if (segment == ".." && !kept.empty()) kept.pop_back();
        if (!ends_open) kept.push_back(segment);
    }
    std::string out;
    for (const std::string_view segment : kept) {
        out += '/';
        out += segment;
    }
    if (ends_open || out.empty()) out += '/';
    return out;
}

}  // namespace

bool is_redirect(int status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Result<wire::Url> redirect_target(const wire::Url& from, std::string_view location) {
    const wire::HostPort place{.host = from.host, .port = from.port};
    const std::size_t colon = location.find("://");
    const std::size_t stop = location.find_first_of("/?#");
    std::string whole;
    if (colon != std::string_view::npos && colon < stop) {
        whole = location;
    } else if (location.starts_with("//")) {
        whole = fmt::format("{}:{}", from.scheme, location);
    } else {
        const std::string_view reference = location.substr(0, location.find('#'));
        const std::size_t mark = std::min(reference.find('?'), reference.size());
        const std::string_view path = reference.substr(0, mark);
        std::string query(reference.substr(mark));
        std::string target;
        if (path.empty()) {
            target = from.path;
            if (query.empty() && !from.query.empty()) query = "?" + from.query;
        } else if (path.front() == '/') {
            target = without_dots(path);
        } else {
            target = without_dots(fmt::format(
                "{}{}", std::string_view(from.path).substr(0, from.path.rfind('/') + 1), path
            ));
        }
        whole = fmt::format("{}://{}{}{}", from.scheme, place.text(), target, query);
    }
    auto to = wire::parse_url(whole);
    if (to && to->scheme != "http" && to->scheme != "https") to = Error{.what = "not http"};
    if (!to) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("a redirect to \"{}\" cannot be followed", location.substr(0, 200)),
            .source = Source::upstream
        };
    }
    return to;
}

}  // namespace datapunk::mesh::probe
