#pragma once

// AdminHandler: the pages of the admin API: each a path and a function that makes a response now.
// Who has the data registers the page; this room knows nothing of it. Pages are read-only: GET and
// HEAD. The few that change something are actions: PUT, and only from programs or our own pages. A
// foreign web page cannot send PUT without asking first (CORS), which nobody answers here; and what
// names another Origin is refused.
//
// Defences: a token, if one is set, in `Authorization: Bearer`; without one, requests must name
// this machine (localhost or a loopback address) in Host, so that a web page cannot reach the API
// through a name of its own that resolves to 127.0.0.1 (DNS rebinding). One loop's object.

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "http/server.h"

namespace datapunk::mesh::admin {

class AdminHandler final : public http::Handler {
  public:
    using Page = std::function<http::Response(const http::Request&)>;

    // `token` empty: none is asked for.
    explicit AdminHandler(std::string token);

    // `description` is shown on the index page "/".
    void add(std::string path, std::string description, Page page);

    // The same for something that PUT changes.
    void add_action(std::string path, std::string description, Page page);

    // And for something that takes its time: POST will do as well.
    using Work = std::function<io::Task<http::Response>(http::Request)>;
    void add_work(std::string path, std::string description, Work work);

    io::Task<http::Response> handle(http::Request request) override;

  private:
    struct Entry {
        std::string description;
        Page page;
        bool is_action = false;
        Work work{};  // instead of a page
    };

    // Nothing: `request` may have what it asks for.
    std::optional<http::Response> refusal(const http::Request& request) const;
    http::Response index() const;
    bool is_allowed(const http::Request& request) const;

    std::string token_;
    std::map<std::string, Entry, std::less<>> pages_;
};

}  // namespace datapunk::mesh::admin
