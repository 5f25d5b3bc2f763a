// Events, as recorded from a Consul 1.16.4.

#include <fmt/format.h>

#include "catalog/events.h"
#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Events : public ServerTest {
  public:
    std::string fire(std::string target, std::string payload = {}) {
        return desk_->ask("PUT", "/v1/event/fire/" + target, std::move(payload)).body;
    }

    static std::string id_of(const std::string& event) { return event.substr(7, 36); }
};

TEST_F(Events, FireAndListAsRecorded) {
    EXPECT_EQ(catalog::event_index("6089bafb-b2fe-b412-e196-8f3841683656"), 9304214470892356164U);
    const http::Response none = desk_->ask("GET", "/v1/event/list");
    EXPECT_EQ(none.body, "[]");
    EXPECT_EQ(none.header("X-Consul-Index"), "1");
    const std::string fired = fire("deploy", "payload");
    const std::string tail =
        R"(,"Name":"deploy","Payload":"cGF5bG9hZA==","NodeFilter":"","ServiceFilter":"","TagFilter":"","Version":1,"LTime":)";
    const std::string id = id_of(fired);
    EXPECT_EQ(fired, R"({"ID":")" + id + "\"" + tail + "0}");
    fire("other");
    const http::Response list = desk_->ask("GET", "/v1/event/list?name=deploy");
    EXPECT_EQ(list.body, R"([{"ID":")" + id + "\"" + tail + "2}]");
    EXPECT_EQ(list.header("X-Consul-Index"), fmt::format("{}", catalog::event_index(id)));
    EXPECT_EQ(desk_->ask("PUT", "/v1/event/fire/").status, 400);
    EXPECT_EQ(desk_->ask("PUT", "/v1/event/fire/").body, "Missing name");
}

TEST_F(Events, AWaitEndsWithAnotherListOrInTime) {
    const std::string id = id_of(fire("deploy"));
    const std::uint64_t index = catalog::event_index(id);
    const std::string query = fmt::format("/v1/event/list?name=deploy&wait=10s&index={}", index);
    PendingAsk woken(*server_, query);
    loop_.run_for(1s);
    fire("other");
    loop_.run_for(1ms);
    EXPECT_FALSE(woken.ended()) << "the list of this name is still the same";
    const std::string next = id_of(fire("deploy"));
    loop_.run_for(1ms);
    ASSERT_TRUE(woken.ended());
    EXPECT_THAT(woken.response().body, HasSubstr(next));
    PendingAsk timed_out(
        *server_, fmt::format("/v1/event/list?wait=10s&index={}", catalog::event_index(next))
    );
    loop_.run_for(9s);
    EXPECT_FALSE(timed_out.ended());
    loop_.run_for(1s + 10ms);
    EXPECT_TRUE(timed_out.ended());
    PendingAsk other_list(*server_, "/v1/event/list?wait=10s&index=5");
    EXPECT_TRUE(other_list.ended()) << "an index of another list is answered at once";
}

TEST_F(Events, AreKeptUpToALimit) {
    for (int i = 0; i < 300; ++i) fire(fmt::format("e{}", i));
    const std::string list = desk_->get("/v1/event/list");
    EXPECT_THAT(list, testing::Not(HasSubstr("\"e43\"")));
    EXPECT_THAT(list, HasSubstr("\"e44\""));
    EXPECT_THAT(list, HasSubstr("\"e299\""));
    EXPECT_EQ(desk_->ask("PUT", "/v1/event/fire/big", std::string(512, 'x')).status, 200);
    EXPECT_EQ(desk_->ask("PUT", "/v1/event/fire/big", std::string(513, 'x')).status, 500);
}

TEST_F(Events, FiltersSayForWhomTheyAre) {
    desk_->put("/v1/agent/service/register", R"({"Name":"web","Tags":["v1"]})");
    fire("a?node=ref");
    fire("b?node=other");
    fire("c?service=web&tag=v1");
    fire("d?service=web&tag=v2");
    fire("e?service=api");
    const std::string list = desk_->get("/v1/event/list");
    for (const char* name : {"a", "c"}) EXPECT_THAT(list, HasSubstr(fmt::format("\"{}\"", name)));
    for (const char* name : {"b", "d", "e"}) {
        EXPECT_THAT(list, testing::Not(HasSubstr(fmt::format("\"{}\"", name))));
    }
    EXPECT_EQ(fire("x?tag=v1"), "Cannot provide tag filter without service filter");
    EXPECT_THAT(fire("x?node=%5B"), HasSubstr("Invalid node filter: "));
}

}  // namespace
}  // namespace datapunk::mesh::server
