#include "apps/endpoint_query.h"

#include <gmock/gmock.h>

namespace datapunk::mesh::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(EndpointQuery, ReadsAFilterAsDiscoveryHasIt) {
    const auto all = parse_endpoint_query("");
    ASSERT_TRUE(all);
    EXPECT_TRUE(all->filter.empty());
    const auto one = parse_endpoint_query(
        "service=api&tag=v1&tag=eu%20west&meta=rack=7&meta=x=a%3Db&zone=a&version=1.2&"
        "environment=test&region=eu&capability=grpc&healthy"
    );
    ASSERT_TRUE(one) << one.error().what;
    EXPECT_EQ(one->service, "api");
    EXPECT_EQ(
        one->filter,
        (DiscoveryFilter{
            .tags = {"v1", "eu west"},
            .metadata = {{"rack", "7"}, {"x", "a=b"}},
            .version = "1.2",
            .environment = "test",
            .region = "eu",
            .zone = "a",
            .capabilities = {"grpc"},
            .healthy = true
        })
    );
}

TEST(EndpointQuery, SaysWhatIsWrong) {
    for (const auto& [query, what] : {
             std::pair<std::string_view, std::string_view>("zome=a", "unknown key zome"),
             {"zone", "zone needs a value"},
             {"zone=", "zone needs a value"},
             {"meta=rack", "meta must be KEY=VALUE"},
             {"meta=a=1&meta=a=2", "meta a is there twice"},
             {"healthy=no", "healthy stands alone"},
             {"zone=%zz", "%zz"},
         }) {
        const auto refused = parse_endpoint_query(query);
        ASSERT_FALSE(refused) << query;
        EXPECT_EQ(refused.error().code, Code::invalid);
        EXPECT_THAT(refused.error().what, HasSubstr(std::string(what)));
    }
}

TEST(EndpointQuery, SelectsByWhatEndpointsSayAboutThemselves) {
    const auto api = std::make_shared<EndpointSet>();
    api->endpoints = {
        {.id = "a", .metadata = {{"zone", "x"}}},
        {.id = "b", .metadata = {{"zone", "y"}}},
        {.id = "c", .metadata = {{"zone", "x"}}, .health = Health::critical},
    };
    const auto known = [&](std::string_view service) {
        return service == "api" ? EndpointSetPtr(api) : nullptr;
    };
    std::vector<policy::ServiceView> views(2);
    views[0].service = "api";
    views[0].endpoints = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
    views[1].service = "fixed";
    views[1].endpoints = {{.id = "f"}, {.id = "g", .health = Health::critical}};
    const auto ids = [&](std::string_view query) {
        std::vector<std::string> out;
        for (const auto& view : select(views, *parse_endpoint_query(query), known)) {
            for (const auto& endpoint : view.endpoints) {
                out.push_back(view.service + "/" + endpoint.id);
            }
        }
        return out;
    };
    EXPECT_THAT(ids(""), ElementsAre("api/a", "api/b", "api/c", "fixed/f", "fixed/g"));
    EXPECT_THAT(ids("service=fixed"), ElementsAre("fixed/f", "fixed/g"));
    EXPECT_THAT(ids("zone=x"), ElementsAre("api/a", "api/c"));
    EXPECT_THAT(ids("zone=x&healthy"), ElementsAre("api/a"));
    EXPECT_THAT(ids("healthy"), ElementsAre("api/a", "api/b", "fixed/f"));
    EXPECT_THAT(ids("service=nobody"), IsEmpty());
}

}  // namespace
}  // namespace datapunk::mesh::apps
