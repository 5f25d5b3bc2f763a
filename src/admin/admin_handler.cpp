#include "admin/admin_handler.h"

#include <fmt/format.h>

#include "core/strings.h"

namespace datapunk::mesh::admin {

namespace {

// Takes as long for a wrong first byte as for a wrong last one.
bool equals_in_constant_time(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    unsigned differs = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        differs |= static_cast<unsigned>(
            static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])
        );
    }
    return differs == 0;
}

bool names_this_machine(std::string_view host) {
    const std::size_t colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
        host = host.substr(0, colon);
    }
    if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    if (core::equals_ignoring_case(host, "localhost")) return true;
    const auto address = io::parse_ip(host, 0);
    return address && address->is_loopback();
}

// Sent by a browser on behalf of a page that is not from here.
bool is_foreign(const http::Request& request) {
    const std::string_view origin = request.header("origin");
    return !origin.empty() && origin != "http://" + request.host &&
           origin != "https://" + request.host;
}

}  // namespace

AdminHandler::AdminHandler(std::string token) : token_(std::move(token)) {}

void AdminHandler::add(std::string path, std::string description, Page page) {
    pages_[std::move(path)] = {std::move(description), std::move(page)};
}

void AdminHandler::add_action(std::string path, std::string description, Page page) {
    pages_[std::move(path)] = {std::move(description), std::move(page), true};
}

void AdminHandler::add_work(std::string path, std::string description, Work work) {
    pages_[std::move(path)] = {std::move(description), {}, true, std::move(work)};
}

io::Task<http::Response> AdminHandler::handle(http::Request request) {
    auto refused = refusal(request);
    if (refused) co_return *std::move(refused);
    if (request.path() == "/") co_return index();
    const Entry& entry = pages_.find(request.path())->second;
    http::Response response;
    if (entry.work) {
        response = co_await entry.work(std::move(request));
    } else {
        response = entry.page(request);
    }
    response.headers.push_back({"Cache-Control", "no-store"});
    response.headers.push_back({"X-Content-Type-Options", "nosniff"});
    co_return response;
}

bool AdminHandler::is_allowed(const http::Request& request) const {
    if (token_.empty()) return names_this_machine(request.host);
    constexpr std::string_view kScheme = "Bearer ";
    const std::string_view given = request.header("authorization");
    return given.starts_with(kScheme) &&
           equals_in_constant_time(given.substr(kScheme.size()), token_);
}

std::optional<http::Response> AdminHandler::refusal(const http::Request& request) const {
    if (!is_allowed(request)) {
        if (token_.empty()) {
            return http::text_response(
                403, "The admin API answers to names of this machine only (Host: localhost).\n"
            );
        }
        http::Response denied =
            http::text_response(401, "A token is needed: Authorization: Bearer …\n");
        denied.headers.push_back({"WWW-Authenticate", "Bearer"});
        return denied;
    }
    const auto page = pages_.find(request.path());
    const bool is_action = page != pages_.end() && page->second.is_action;
    const bool is_work = is_action && page->second.work != nullptr;
    const bool is_right = is_action
                              ? request.method == "PUT" || (is_work && request.method == "POST")
                              : request.method == "GET" || request.method == "HEAD";
    if (!is_right) {
        http::Response wrong = http::text_response(
            405,
            fmt::format(
                "{} is not allowed here; {}\n",
                request.method.substr(0, 32),
                is_action ? "this is done with PUT" : "pages are read with GET"
            )
        );
        const char* const allowed = is_work ? "PUT, POST" : is_action ? "PUT" : "GET, HEAD";
        wrong.headers.push_back({"Allow", allowed});
        return wrong;
    }
    if (is_action && is_foreign(request)) {
        return http::text_response(403, "A page from elsewhere may not change anything here.\n");
    }
    if (page == pages_.end() && request.path() != "/") {
        return http::text_response(
            404, fmt::format("There is no page {}; / lists all.\n", request.path().substr(0, 200))
        );
    }
    return std::nullopt;
}

http::Response AdminHandler::index() const {
    std::string text = "dpmesh admin\n\n";
    for (const auto& [path, entry] : pages_) {
        const std::string_view how = entry.is_action ? "PUT: " : "";
        fmt::format_to(std::back_inserter(text), "{:<14} {}{}\n", path, how, entry.description);
    }
    return http::text_response(200, text);
}

}  // namespace datapunk::mesh::admin
