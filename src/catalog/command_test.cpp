#include "catalog/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/limits.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string refusal(Command command, unsigned status) {
    const Result<> result = prepare(command);
    if (result) return "accepted";
    EXPECT_EQ(http_status(command, result.error()), status) << result.error().what;
    return result.error().what;
}

template <class C>
C prepared(C command) {
    Command any = std::move(command);
    const Result<> result = prepare(any);
    EXPECT_TRUE(result.ok()) << result.error().what;
    return std::get<C>(any);
}

TEST(CommandTest, FillsInConsulsDefaults) {
    const RegisterService one = prepared(
        with_check({.service = {.name = "web", .address = "10.0.0.1", .port = 8080}}, ttl_check(""))
    );
    EXPECT_EQ(one.service.id, "web");
    EXPECT_EQ(one.service.weights, (DnsWeights{1, 1}));
    EXPECT_EQ(one.checks[0].check.id, "service:web");
    EXPECT_EQ(one.checks[0].check.name, "Service 'web' check");
    EXPECT_EQ(one.checks[0].check.service_id, "web");
    EXPECT_EQ(one.service.tagged_addresses.at("lan_ipv4"), (TaggedAddress{"10.0.0.1", 8080}));
    EXPECT_EQ(one.service.tagged_addresses.at("wan_ipv4"), (TaggedAddress{"10.0.0.1", 8080}));
    EXPECT_EQ(one.service.tagged_addresses.size(), 2U);
}

TEST(CommandTest, NumbersChecksByTheirPlaceWhenThereAreSeveral) {
    RegisterService command = with_check(web("web-2"), ttl_check(""));
    command.checks.push_back(ttl_check("mytcp"));
    command.checks.push_back(ttl_check(""));
    command = prepared(command);
    EXPECT_EQ(command.checks[0].check.id, "service:web-2:1");
    EXPECT_EQ(command.checks[1].check.id, "mytcp");
    EXPECT_EQ(command.checks[2].check.id, "service:web-2:3");
}

TEST(CommandTest, PreparingTwiceChangesNothing) {
    const RegisterService once = prepared(with_check(web("w1"), ttl_check("")));
    EXPECT_EQ(prepared(once), once);
    EXPECT_EQ(prepared(prepared(local_node())), prepared(local_node()));
}

TEST(CommandTest, RaisesShortIntervalsSilently) {
    RegisterCheck command;
    command.check.check.name = "short";
    command.check.check.definition = {
        .kind = CheckKind::http,
        .url = "http://127.0.0.1:1/",
        .interval = 10ms,
        .deregister_after = 1s
    };
    command = prepared(command);
    EXPECT_EQ(command.check.check.definition.interval, 1s);
    EXPECT_EQ(command.check.check.definition.deregister_after, 1min);
}

// Texts and statuses as recorded from Consul 1.16.4.
TEST(CommandTest, RefusesWithConsulsWords) {
    EXPECT_EQ(refusal(RegisterService{.service = {.id = "x"}}, 400), "Missing service name");
    EXPECT_EQ(
        refusal(RegisterService{.service = {.name = "w", .weights = {0, 0}}}, 400),
        "Invalid Weights: Passing must be greater than 0"
    );
    EXPECT_EQ(
        refusal(RegisterService{.service = {.name = "w", .weights = {70000, 1}}}, 400),
        "Invalid Weights: DNS Weight must be between 0 and 65535"
    );
    EXPECT_EQ(
        refusal(RegisterService{.service = {.name = "w", .address = "0.0.0.0"}}, 400),
        "Invalid service address"
    );
    EXPECT_EQ(
        refusal(RegisterService{.service = {.name = "w", .meta = {{"bad key!", "x"}}}}, 400),
        "Invalid Service Meta: Couldn't load metadata pair ('bad key!', 'x'): Key contains invalid "
        "characters"
    );
    EXPECT_EQ(refusal(RegisterCheck{ttl_check("x")}, 400), "Missing check name");
    RegisterCheck check{ttl_check("x", 0s)};
    check.check.check.name = "bad";
    EXPECT_EQ(refusal(check, 400), "Invalid check: TTL must be > 0 for TTL checks");
    check.check.check.definition.kind = CheckKind::http;
    EXPECT_EQ(
        refusal(check, 400),
        "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"
    );
    check.check.check.definition.interval = 5s;
    check.check.check.definition.ttl = 5s;
    EXPECT_EQ(refusal(check, 400), "Invalid check: Interval and TTL cannot both be specified");
    EXPECT_EQ(refusal(CatalogRegister{.node = {.address = "1.1.1.1"}}, 500), "Must provide node");
    EXPECT_EQ(
        refusal(CatalogRegister{.node = {.name = "ext3"}}, 500),
        "Must provide address if SkipNodeUpdate is not set"
    );
    EXPECT_EQ(
        refusal(
            CatalogRegister{
                .node = {.name = "e", .address = "1.1.1.1"}, .service = ServiceRow{.id = "es"}
            },
            500
        ),
        "Must provide service name (Service.Service) when service ID is provided"
    );
    EXPECT_EQ(refusal(CatalogDeregister{}, 500), "Must provide node");
    EXPECT_EQ(refusal(KvPut{.value = "x"}, 400), "Missing key name");
    EXPECT_EQ(
        refusal(KvDelete{.key = "d", .recurse = true, .cas = 1}, 400),
        "Conflicting flags: cas=1&recurse="
    );
    EXPECT_EQ(parse_status("bogus").error().what, "Invalid check status: 'bogus'");
}

TEST(CommandTest, HoldsBothSidesOfEachLimit) {
    KvPut put{.key = "k", .value = std::string(kKvValueBytesMax, 'v')};
    EXPECT_EQ(refusal(put, 413), "accepted");
    put.value += 'v';
    EXPECT_THAT(
        refusal(put, 413),
        HasSubstr("Request body(524289 bytes) too large, max size: 524288 bytes.")
    );
    EXPECT_EQ(refusal(KvPut{.key = std::string(kKvKeyBytesMax, 'k')}, 400), "accepted");
    EXPECT_THAT(
        refusal(KvPut{.key = std::string(kKvKeyBytesMax + 1, 'k')}, 400), HasSubstr("1025")
    );

    RegisterService service = web("w");
    for (std::size_t i = 0; i < kMetaPairsMax; ++i)
        service.service.meta["k" + std::to_string(i)] = "v";
    EXPECT_EQ(refusal(service, 400), "accepted");
    service.service.meta["more"] = "v";
    EXPECT_THAT(refusal(service, 400), HasSubstr("cannot contain more than 64"));
    service.service.meta = {{std::string(128, 'k'), std::string(512, 'v')}};
    EXPECT_EQ(refusal(service, 400), "accepted");
    service.service.meta = {{std::string(129, 'k'), "v"}};
    EXPECT_THAT(refusal(service, 400), HasSubstr("Key is too long"));
    service.service.meta = {{"k", std::string(513, 'v')}};
    EXPECT_THAT(refusal(service, 400), HasSubstr("Value is too long"));
    service.service.meta.clear();
    service.service.tags.assign(kTagsMax, "t");
    EXPECT_EQ(refusal(service, 400), "accepted");
    service.service.tags.push_back("t");
    EXPECT_THAT(refusal(service, 400), HasSubstr("65 tags"));
}

TEST(CommandTest, CutsOutputAtFourKibibytes) {
    EXPECT_EQ(prepared(status("c", Health::passing, std::string(4096, 'x'))).output.size(), 4096U);
    EXPECT_EQ(prepared(status("c", Health::passing, std::string(5000, 'x'))).output.size(), 4096U);
}

std::vector<Command> one_of_each() {
    RegisterService service = with_check(web("w1", 8080), ttl_check("c1", 3s));
    service.service.tags = {"a", "b"};
    service.service.meta = {{"k", "v"}};
    service.service.tagged_addresses = {{"lan", {"10.0.0.9", 81}}};
    service.checks[0].check.definition.header = {{"X-A", {"1", "2"}}};
    service.checks[0].check.definition.args = {"/bin/true", "-x"};
    const AclTokenRow token{
        .accessor = "a",
        .secret = "s",
        .policies = {"p"},
        .service_identities = {{"web", {"dc1"}}},
        .node_identities = {{"n1", "dc1"}},
        .local = true,
        .created = 1s,
        .expires = 2s,
    };
    return {
        local_node(),
        service,
        DeregisterService{"w1"},
        RegisterCheck{ttl_check("c2")},
        DeregisterCheck{"c2"},
        UpdateCheck{"c1", Health::warning, "out", true, true},
        ServiceMaintenance{"w1", true, "because"},
        NodeMaintenance{true, "r"},
        CatalogRegister{
            {.name = "ext", .address = "192.0.2.5", .meta = {{"external-node", "true"}}},
            true,
            ServiceRow{.id = "es", .name = "extsvc", .port = 99},
            {CheckRow{.id = "service:es", .status = Health::passing, .service_id = "es"}}
        },
        CatalogDeregister{"ext", "es", "c"},
        KvPut{"a/b", std::string("\0\xff", 2), ~std::uint64_t{0}, 7},
        KvDelete{"a", true, std::nullopt},
        BootstrapAcl{token},
        SetAclToken{token, 5s},
        DeleteAclToken{"a"},
        SetAclPolicy{{.id = "p", .name = "web", .rules = "x", .datacenters = {"dc1"}}},
        DeleteAclPolicy{"p"},
        SetQuery{
            {.id = "q",
             .name = "q1",
             .service = "web",
             .only_passing = true,
             .tags = {"v1"},
             .node_meta = {{"a", "b"}},
             .dns_ttl = "7s"}
        },
        DeleteQuery{"q"},
    };
}

TEST(CommandTest, DecodesWhatItEncoded) {
    for (const Command& command : one_of_each()) {
        const Result<Command> back = decode_command(encode(command));
        ASSERT_TRUE(back.ok()) << back.error().what;
        EXPECT_EQ(*back, command) << "kind " << command.index();
    }
}

TEST(CommandTest, RefusesEveryPrefixAndEveryTail) {
    for (const Command& command : one_of_each()) {
        const std::string bytes = encode(command);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_FALSE(decode_command(std::string_view(bytes).substr(0, size)).ok());
        }
        EXPECT_FALSE(decode_command(bytes + '\0').ok());
    }
}

TEST(CommandTest, RefusesAnotherVersion) {
    std::string bytes = encode(DeregisterService{"x"});
    bytes[0] = 99;
    EXPECT_THAT(
        decode_command(bytes).error().what, HasSubstr("version 99, this program knows 1 to")
    );
}

}  // namespace
}  // namespace datapunk::mesh::catalog
