// Answers that say only what has changed (registry/delta_protocol.h), as a client that was never
// told of our catalog sees them.

#include "server/delta.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/rng.h"
#include "core/strings.h"
#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;

// The texts of an array's elements; ours has no spaces between them.
std::vector<std::string> elements(std::string_view array) {
    std::vector<std::string> out;
    int depth = 0;
    bool is_text = false;
    std::size_t begin = 1;
    for (std::size_t at = 0; at < array.size(); ++at) {
        const char c = array[at];
        if (is_text) {
            if (c == '\\') ++at;
            is_text = c != '"';
            continue;
        }
        is_text = c == '"';
        if (c == '{' || c == '[') ++depth;
        const bool ends = (c == ',' && depth == 1) || (c == ']' && depth == 1);
        if (c == '}' || c == ']') --depth;
        if (!ends) continue;
        if (at > begin) out.emplace_back(array.substr(begin, at - begin));
        begin = at + 1;
        if (depth == 0) break;
    }
    return out;
}

// The set as a client keeps it, and how it learns.
class Follower {
  public:
    Follower(Desk& desk, std::string target, std::string secret = {})
        : desk_(desk), target_(std::move(target)), secret_(std::move(secret)) {}

    // Asks, without waiting, and checks itself by the digest. Whether it was told only what has
    // changed.
    bool ask() {
        last = desk_.ask(request());
        EXPECT_EQ(last.status, 200) << last.body;
        return learn(last);
    }

    http::Request request(std::string_view wait = "1ms") const {
        const std::string index = index_ == 0 ? "" : fmt::format("&index={}&wait={}", index_, wait);
        http::Request request{.target = target_ + index};
        request.headers.push_back({"X-Mesh-Delta", token_.empty() ? "1" : token_});
        if (!secret_.empty()) request.headers.push_back({"X-Consul-Token", secret_});
        return request;
    }

    bool learn(const http::Response& answer) {
        const std::uint64_t since = index_;
        index_ = core::parse_number<std::uint64_t>(answer.header("X-Consul-Index")).value_or(0);
        token_ = answer.header("X-Mesh-Delta");
        if (answer.header("X-Mesh-Delta-Since").empty()) {
            set.clear();
            for (std::string& one : elements(answer.body)) put(std::move(one));
            return false;
        }
        EXPECT_EQ(answer.header("X-Mesh-Delta-Since"), fmt::format("{}", since));
        const std::size_t end = answer.body.find(R"(,"Removed":)");
        for (std::string& one : elements(std::string_view(answer.body).substr(11, end - 11))) {
            put(std::move(one));
        }
        const Json delta = Json::parse(answer.body);
        for (const Json& gone : delta.at("Removed")) {
            set.erase({gone.at("Node").get<std::string>(), gone.at("ID").get<std::string>()});
        }
        const std::uint64_t seed = std::strtoull(token_.substr(0, 16).c_str(), nullptr, 16);
        std::uint64_t sum = 0;
        for (const auto& [key, text] : set) sum += core::hash64(text, seed);
        EXPECT_EQ(delta.at("Count").get<std::size_t>(), set.size());
        EXPECT_EQ(delta.at("Digest").get<std::string>(), fmt::format("{:016x}", sum));
        return true;
    }

    std::vector<std::string> texts() const {
        std::vector<std::string> out;
        for (const auto& [key, text] : set) out.push_back(text);
        return out;
    }

    std::uint64_t index() const { return index_; }

    const std::string& token() const { return token_; }

    std::map<std::pair<std::string, std::string>, std::string> set;
    http::Response last;

  private:
    void put(std::string text) {
        const Json one = Json::parse(text);
        const std::string node = one.at("Node").at("Node");
        const std::string id = one.at("Service").at("ID");
        set[{node, id}] = std::move(text);
    }

    Desk& desk_;
    std::string target_;
    std::string secret_;
    std::uint64_t index_ = 0;
    std::string token_;
};

class Delta : public ServerTest {
  public:
    void add(const std::string& id, const std::string& more = "") {
        desk_->put(
            "/v1/agent/service/register",
            fmt::format(
                R"({{"ID":"{}","Name":"api","Port":80,"Check":{{"TTL":"1h"}}{}}})", id, more
            )
        );
    }

    void fill(int count) {
        for (int i = 0; i < count; ++i) add(fmt::format("i{:03}", i));
    }

    void judge(const std::string& id, const std::string& verdict) {
        desk_->put("/v1/agent/check/" + verdict + "/service:" + id);
    }

    static constexpr const char* kApi = "/v1/health/service/api?stale";
};

TEST_F(Delta, SaysOnlyWhatHasChanged) {
    fill(40);
    Follower follower(*desk_, kApi);
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.set.size(), 40U);
    judge("i007", "pass");
    EXPECT_TRUE(follower.ask());
    const Json delta = Json::parse(follower.last.body);
    ASSERT_EQ(delta.at("Changed").size(), 1U);
    EXPECT_EQ(delta.at("Changed")[0].at("Service").at("ID"), "i007");
    EXPECT_TRUE(delta.at("Removed").empty());
    EXPECT_TRUE(follower.ask());  // nothing new
    EXPECT_TRUE(Json::parse(follower.last.body).at("Changed").empty());
    desk_->put("/v1/agent/service/deregister/i000");
    add("new");
    EXPECT_TRUE(follower.ask());  // both in one
    EXPECT_EQ(Json::parse(follower.last.body).at("Removed")[0].at("ID"), "i000");
    EXPECT_EQ(follower.texts(), elements(desk_->get(kApi)));
}

TEST_F(Delta, WhoDoesNotAskForItIsToldAsByConsul) {
    fill(40);
    const http::Response answer = desk_->ask("GET", "/v1/health/service/api");
    EXPECT_EQ(answer.header("X-Mesh-Delta"), "");
    EXPECT_EQ(answer.body[0], '[');
}

TEST_F(Delta, AWaitEndsWithTheChange) {
    fill(40);
    Follower follower(*desk_, kApi);
    follower.ask();
    http::Request request = follower.request("10s");
    std::optional<http::Response> answer;
    io::TaskGroup group;
    const auto run = [](io::Task<http::Response> task, auto* out) -> io::Task<void> {
        auto response = co_await std::move(task);
        *out = as_received(std::move(response));
    };
    group.spawn(run(server_->handle(std::move(request)), &answer));
    loop_.run_for(std::chrono::seconds(1));
    ASSERT_FALSE(answer);
    judge("i001", "warn");
    loop_.run_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(answer);
    EXPECT_TRUE(follower.learn(*answer));
    EXPECT_EQ(follower.texts(), elements(desk_->get(kApi)));
}

TEST_F(Delta, IsEncodedOnceForAllWhoKnowTheSame) {
    fill(40);
    std::vector<Follower> followers(100, Follower(*desk_, kApi));
    for (Follower& one : followers) one.ask();
    judge("i001", "warn");
    const std::uint64_t before = server_->encodings();
    for (Follower& one : followers) EXPECT_TRUE(one.ask());
    EXPECT_EQ(server_->encodings(), before + 1);
}

TEST_F(Delta, EverythingIsSaidWhereTheHistoryDoesNotReach) {
    fill(40);
    Follower late(*desk_, kApi);
    late.ask();
    Follower timely(*desk_, kApi);
    timely.ask();
    for (int round = 0; round < 40; ++round) {
        judge("i001", round % 2 == 0 ? "warn" : "pass");
        EXPECT_TRUE(timely.ask());
    }
    EXPECT_FALSE(late.ask());
    EXPECT_EQ(late.set, timely.set);
    EXPECT_TRUE(late.ask());
}

TEST_F(Delta, EverythingIsSaidWhereMostHasChanged) {
    fill(40);
    Follower follower(*desk_, kApi);
    follower.ask();
    desk_->put("/v1/agent/maintenance?enable=true");  // a check of the node: in every instance
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.texts(), elements(desk_->get(kApi)));
}

TEST_F(Delta, OfAFewInstancesEverythingIsSaid) {
    fill(10);
    Follower follower(*desk_, kApi);
    follower.ask();
    EXPECT_EQ(follower.token(), "");
    judge("i001", "warn");
    EXPECT_FALSE(follower.ask());
}

TEST_F(Delta, AnotherRunOfTheRegistryKnowsNoDifference) {
    fill(40);
    Follower follower(*desk_, kApi);
    follower.ask();
    const std::string token = follower.token();
    start();  // empty, and soon at the same index with other instances
    for (int i = 0; desk_->index(kApi) < follower.index(); ++i) add(fmt::format("j{:03}", i));
    Follower resumed(*desk_, kApi);
    http::Request request = follower.request();
    const http::Response answer = desk_->ask(std::move(request));
    EXPECT_EQ(answer.header("X-Mesh-Delta-Since"), "");
    EXPECT_NE(answer.header("X-Mesh-Delta"), token);
    EXPECT_EQ(answer.body, desk_->get(kApi));
}

TEST_F(Delta, ARestoredBackupIsToldInFull) {
    fill(40);
    const std::string backup = desk_->get("/v1/snapshot");
    Follower follower(*desk_, kApi);
    follower.ask();
    desk_->put("/v1/agent/service/deregister/i000");
    EXPECT_TRUE(follower.ask());
    desk_->put("/v1/snapshot", backup);
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.set.size(), 40U);
    judge("i003", "warn");
    EXPECT_TRUE(follower.ask());
    EXPECT_EQ(follower.texts(), elements(desk_->get(kApi)));
}

TEST_F(Delta, AServiceThatWentAndCameBackIsToldInFull) {
    fill(40);
    Follower follower(*desk_, kApi);
    follower.ask();
    for (int i = 0; i < 40; ++i) {
        desk_->put(fmt::format("/v1/agent/service/deregister/i{:03}", i));
    }
    fill(40);
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.texts(), elements(desk_->get(kApi)));
    follower.ask();
    for (int i = 0; i < 40; ++i) {
        desk_->put(fmt::format("/v1/agent/service/deregister/i{:03}", i));
    }
    EXPECT_FALSE(follower.ask());
    EXPECT_TRUE(follower.set.empty());
}

TEST_F(Delta, OtherParametersAreAnotherView) {
    fill(40);
    Follower all(*desk_, kApi);
    all.ask();
    judge("i001", "pass");
    http::Request request = all.request();
    request.target += "&passing";
    const http::Response answer = desk_->ask(std::move(request));
    EXPECT_EQ(answer.header("X-Mesh-Delta-Since"), "");
    EXPECT_EQ(elements(answer.body).size(), 1U);
}

// The output of an alias follows its target's and is no news: no index moves. Who has read the old
// one and who has read the new one are both told what is.
TEST_F(Delta, OutputsThatAreNoNewsComeWithTheNextAnswer) {
    fill(40);
    desk_->put("/v1/agent/service/register", R"({"ID":"db","Name":"db","Check":{"TTL":"1h"}})");
    desk_->put(
        "/v1/agent/service/register",
        R"({"ID":"like","Name":"api","Port":80,"Checks":[{"CheckID":"alias","AliasService":"db"}]})"
    );
    desk_->put("/v1/agent/check/fail/service:db?note=one");
    Follower early(*desk_, kApi);
    early.ask();
    const std::uint64_t index = early.index();
    loop_.run_for(std::chrono::minutes(10));
    desk_->put("/v1/agent/check/fail/service:db?note=two");
    loop_.run_for(std::chrono::minutes(10));
    Follower late(*desk_, "/v1/health/service/api?near=_agent");
    late.ask();
    EXPECT_EQ(late.index(), index);
    EXPECT_NE(late.texts(), early.texts()) << "or there is nothing to see here";
    for (Follower* one : {&early, &late}) EXPECT_TRUE(one->ask());
    EXPECT_EQ(late.texts(), early.texts());
    judge("i007", "pass");
    for (Follower* one : {&early, &late}) EXPECT_TRUE(one->ask());
    EXPECT_EQ(early.texts(), elements(desk_->get(kApi)));
    EXPECT_EQ(late.texts(), early.texts());
}

// Answers are kept by what was asked: no value may read as two.
TEST_F(Delta, AValueWithALineBreakIsOneValue) {
    fill(3);
    EXPECT_EQ(desk_->get("/v1/health/service/api?stale&tag=a%0At1%3Ab"), "[]");
    add("both", R"(,"Tags":["a","b"])");
    EXPECT_EQ(desk_->get("/v1/health/service/api?stale&tag=a%0Atb"), "[]");
    EXPECT_EQ(desk_->get("/v1/health/service/api?stale&tag=a%0At1%3Ab"), "[]");
    EXPECT_EQ(elements(desk_->get("/v1/health/service/api?stale&tag=a&tag=b")).size(), 1U);
}

// Whatever happens, in whichever view: what a follower has patched together is what it would be
// told in full, byte for byte.
TEST_F(Delta, PatchedIsWhole) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261122;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    core::Rng rng(seed);
    fill(60);
    const std::vector<std::string> views{
        "/v1/health/service/api?stale",
        "/v1/health/service/api?passing",
        "/v1/health/service/api?tag=v2",
        "/v1/health/service/api?near=_agent",
        "/v1/health/service/api?node-meta=rack:r1",
        "/v1/health/service/api?filter=Service.Port%20%3D%3D%2081",
        "/v1/health/service/api?filter=%22v2%22%20in%20Service.Tags&passing",
    };
    std::vector<Follower> followers;
    for (const std::string& view : views) followers.emplace_back(*desk_, view);
    std::vector<std::size_t> deltas(views.size());
    for (int step = 0; step < 400; ++step) {
        const std::string id = fmt::format("i{:03}", rng.below(80));
        switch (rng.below(8)) {
            case 0:
            case 1:
                add(id, rng.chance(0.5) ? R"(,"Tags":["v2"])" : R"(,"Meta":{"a":"b"})");
                break;
            case 2:
                desk_->ask("PUT", "/v1/agent/service/deregister/" + id);
                break;
            case 3:
                desk_->put(
                    "/v1/catalog/register",
                    fmt::format(
                        R"({{"Node":"far","Address":"10.0.0.{}","NodeMeta":{{"rack":"r{}"}},)"
                        R"("Service":{{"ID":"{}","Service":"api","Port":81}}}})",
                        rng.below(2),
                        rng.below(20) == 0 ? 2 : 1,
                        id
                    )
                );
                break;
            case 4:
                desk_->ask(
                    "PUT", fmt::format("/v1/agent/service/maintenance/{}?enable={}", id, step % 2)
                );
                break;
            default:
                desk_->ask(
                    "PUT",
                    fmt::format(
                        "/v1/agent/check/{}/service:{}", rng.chance(0.7) ? "pass" : "fail", id
                    )
                );
        }
        for (std::size_t i = 0; i < followers.size(); ++i) {
            if (rng.chance(0.5)) continue;  // sees several changes as one
            deltas[i] += followers[i].ask() ? 1 : 0;
            std::vector<std::string> expected;
            for (const auto& [key, text] : followers[i].set) expected.push_back(text);
            auto told = elements(desk_->get(views[i]));
            std::sort(told.begin(), told.end());
            std::sort(expected.begin(), expected.end());
            ASSERT_EQ(expected, told) << views[i] << " step " << step;
        }
    }
    for (std::size_t i = 0; i < views.size(); ++i) EXPECT_GT(deltas[i], 100U) << views[i];
}

class DeltaAcl : public Delta {
  public:
    DeltaAcl() {
        config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = "root"};
        start();
        for (int i = 0; i < 40; ++i) place("ref1", fmt::format("i{:03}", i));
        for (int i = 0; i < 40; ++i) place("far", fmt::format("f{:03}", i));
    }

    void place(const std::string& node, const std::string& id, int port = 80) {
        as_root(
            "/v1/catalog/register",
            fmt::format(
                R"({{"Node":"{}","Address":"10.0.0.1","SkipNodeUpdate":true,)"
                R"("Service":{{"ID":"{}","Service":"api","Port":{}}}}})",
                node,
                id,
                port
            )
        );
    }

    void remove(const std::string& node, const std::string& id) {
        as_root(
            "/v1/catalog/deregister", fmt::format(R"({{"Node":"{}","ServiceID":"{}"}})", node, id)
        );
    }

    std::string as_root(const std::string& target, const std::string& body) {
        const http::Response answer = desk_->ask_as("root", "PUT", target, body);
        EXPECT_EQ(answer.status, 200) << answer.body;
        return answer.body;
    }

    // A token that reads the service on nodes that begin with `node`.
    std::string reader(const std::string& node) {
        as_root("/v1/acl/policy", policy(node));
        const std::string made = as_root("/v1/acl/token", R"({"Policies":[{"Name":"reader"}]})");
        return Json::parse(made).at("SecretID").get<std::string>();
    }

    static std::string policy(const std::string& node) {
        return fmt::format(
            R"({{"Name":"reader","Rules":"service \"api\" {{ policy = \"read\" }} )"
            R"(node_prefix \"{}\" {{ policy = \"read\" }}"}})",
            node
        );
    }
};

TEST_F(DeltaAcl, TellsNobodyOfWhatTheyMayNotSee) {
    const std::string secret = reader("ref");
    Follower narrow(*desk_, kApi, secret);
    Follower wide(*desk_, kApi, "root");
    narrow.ask();
    wide.ask();
    EXPECT_EQ(narrow.set.size(), 40U);
    EXPECT_EQ(wide.set.size(), 80U);
    place("far", "f001", 81);
    remove("far", "f002");
    place("ref1", "i001", 81);
    EXPECT_TRUE(narrow.ask());
    EXPECT_TRUE(wide.ask());
    EXPECT_EQ(narrow.last.body.find("far"), std::string::npos);
    EXPECT_EQ(narrow.last.body.find("f00"), std::string::npos);
    EXPECT_EQ(narrow.last.header("X-Consul-Results-Filtered-By-Acls"), "true");
    EXPECT_EQ(narrow.set.size(), 40U);
    EXPECT_EQ(wide.set.size(), 79U);
}

TEST_F(DeltaAcl, RightsThatChangedAreAnotherView) {
    const std::string secret = reader("");
    Follower follower(*desk_, kApi, secret);
    follower.ask();
    EXPECT_EQ(follower.set.size(), 80U);
    const std::string made = desk_->ask_as("root", "GET", "/v1/acl/policy/name/reader").body;
    const std::string id = Json::parse(made).at("ID");
    as_root("/v1/acl/policy/" + id, policy("ref"));
    place("ref1", "i001", 81);
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.set.size(), 40U);
    as_root("/v1/acl/policy/" + id, policy(""));
    EXPECT_FALSE(follower.ask());
    EXPECT_EQ(follower.set.size(), 80U);
}

TEST_F(DeltaAcl, AnotherTokenIsAnotherView) {
    Follower wide(*desk_, kApi, "root");
    wide.ask();
    const std::string secret = reader("ref");
    wide.ask();  // with the token's index
    http::Request request = wide.request();
    request.headers.back().value = secret;
    const http::Response answer = desk_->ask(std::move(request));
    EXPECT_EQ(answer.header("X-Mesh-Delta-Since"), "");
    EXPECT_EQ(elements(answer.body).size(), 40U);
}

}  // namespace
}  // namespace datapunk::mesh::server
