// What earlier programs wrote must be read for ever: bytes of each format as they were on disk.

#include <gtest/gtest.h>

#include "catalog/catalog.h"
#include "catalog/test_support.h"

namespace datapunk::mesh::catalog {
namespace {

using namespace std::chrono_literals;

std::string from_hex(std::string_view hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        out += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    }
    return out;
}

template <class C>
C read(std::string_view hex) {
    const Result<Command> command = decode_command(from_hex(hex));
    EXPECT_TRUE(command.ok()) << command.error().what;
    return std::get<C>(*command);
}

// A service and an external node with a service, a key, and a key that was deleted.
constexpr std::string_view kState1 =
    "010704040400000472656631020365787400093139322e302e322e35000004040400010165016500000000010100"
    "00040401026563026563000000016500000000000000000000000000000000000000000004040472656631243361"
    "6430343834312d356166372d336433612d613162392d393731613536646138663332093132372e302e302e310403"
    "6c616e093132372e302e302e31086c616e5f69707634093132372e302e302e310377616e093132372e302e302e31"
    "0877616e5f69707634093132372e302e302e3100020203010a736572664865616c74681253657266204865616c74"
    "68205374617475730000194167656e7420616c69766520616e6420726561636861626c6500000000000000000000"
    "000000000000000000000000020201027731037765620102763101047a6f6e650161005001010000030301026331"
    "135365727669636520277765622720636865636b0000000277310100000103582d41010131000000000000000000"
    "0000008090dfc04a0000008090d8c69e05030302016504040377656203030103612f6201760705050104676f6e65"
    "070007";

TEST(FormatTest, ReadsTheCommandsOfVersion1) {
    EXPECT_EQ(
        read<SetLocalNode>("010004726566312433616430343834312d356166372d336433612d613162392d3937316"
                           "13536646138663332093132372e302e302e3100000000"),
        local_node()
    );
    RegisterService service = with_check(web("w1"), ttl_check("c1"));
    service.service.tags = {"v1"};
    service.service.meta = {{"zone", "a"}};
    CheckRegistration& check = service.checks[0];
    check.check.definition.deregister_after = 90s;
    check.check.definition.header = {{"X-A", {"1"}}};
    check.check.status = Health::passing;
    check.has_status = true;
    EXPECT_EQ(
        read<RegisterService>("0101027731037765620102763101047a6f6e65016100500101000000000102633100"
                              "000000000100000103582d41"
                              "0101310000000000000000000000008090dfc04a0000008090d8c69e0500000100"),
        service
    );
    EXPECT_EQ(read<DeregisterService>("0102027731"), DeregisterService{"w1"});
    RegisterCheck alone{ttl_check("c2")};
    alone.check.check.name = "c2";
    EXPECT_EQ(
        read<RegisterCheck>(
            "010302633202633202000000010000000000000000000000000000008090dfc04a00000000000000"
        ),
        alone
    );
    EXPECT_EQ(read<DeregisterCheck>("0104026332"), DeregisterCheck{"c2"});
    EXPECT_EQ(
        read<UpdateCheck>("01050263310104736c6f770000"), status("c1", Health::warning, "slow")
    );
    EXPECT_EQ(
        read<ServiceMaintenance>("01060277310103776879"), (ServiceMaintenance{"w1", true, "why"})
    );
    EXPECT_EQ(read<NodeMaintenance>("01070103776879"), (NodeMaintenance{true, "why"}));
    const CatalogRegister external = {
        .node = {.name = "ext", .address = "192.0.2.5"},
        .service = ServiceRow{.id = "e", .name = "e"},
        .checks = {{.id = "ec", .name = "ec", .status = Health::passing, .service_id = "e"}}
    };
    EXPECT_EQ(
        read<CatalogRegister>("01080365787400093139322e302e322e350000000000010165016500000000010100"
                              "000000010265630265630000"
                              "0001650000000000000000000000000000000000000000000000"),
        external
    );
    EXPECT_EQ(read<CatalogDeregister>("010903657874016500"), (CatalogDeregister{"ext", "e", ""}));
    EXPECT_EQ(
        read<KvPut>("010a03612f620176070100"),
        (KvPut{.key = "a/b", .value = "v", .flags = 7, .cas = 0})
    );
    EXPECT_EQ(read<KvDelete>("010b01610100"), (KvDelete{.key = "a", .recurse = true}));
}

TEST(FormatTest, ReadsTheStateOfVersion1AndGoesOn) {
    Result<Catalog> restored = Catalog::decode_state(from_hex(kState1));
    ASSERT_TRUE(restored.ok()) << restored.error().what;
    Catalog catalog = std::move(restored).value();
    EXPECT_EQ(catalog.index(), 7U);
    const KvRow* row = catalog.kv_get("a/b").data;
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(*row, (KvRow{.value = "v", .flags = 7, .index = {5, 5}}));
    EXPECT_EQ(catalog.kv_get("gone").index, 7U);
    EXPECT_EQ(catalog.service("e").data.size(), 1U);
    EXPECT_EQ(catalog.sessions().data.size(), 0U);
    CreateSession session;
    session.session = {.id = "s", .node = "ref1", .node_checks = {"serfHealth"}};
    ASSERT_TRUE(catalog.apply(session).ok());
    ASSERT_TRUE(catalog.apply(KvAcquire{.key = "a/b", .value = "v", .session = "s"})->accepted);
    EXPECT_TRUE(Catalog::decode_state(catalog.encode_state()).ok());
}

TEST(FormatTest, RefusesAVersionOfTheFuture) {
    std::string record = encode(DeregisterService{"w1"});
    ASSERT_TRUE(decode_command(record).ok());
    ++record[0];
    EXPECT_FALSE(decode_command(record).ok());
    record[0] = 0;
    EXPECT_FALSE(decode_command(record).ok());
    std::string state = Catalog().encode_state();
    ++state[0];
    EXPECT_FALSE(Catalog::decode_state(state).ok());
}

}  // namespace
}  // namespace datapunk::mesh::catalog
