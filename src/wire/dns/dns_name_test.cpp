#include <gmock/gmock.h>

#include "wire/dns/name.h"

namespace datapunk::mesh::wire::dns {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

DnsName name(std::string_view text) {
    auto parsed = DnsName::parse(text);
    EXPECT_TRUE(parsed) << parsed.error().what;
    return parsed ? *parsed : DnsName();
}

TEST(DnsName, ReadsWithAndWithoutTheLastDot) {
    EXPECT_EQ(name("web.service.consul"), name("web.service.consul."));
    EXPECT_EQ(name("web.service.consul").text(), "web.service.consul.");
    EXPECT_THAT(name("a.bc").labels(), ElementsAre("a", "bc"));
    EXPECT_EQ(name("a.bc").wire(), std::string("\1a\2bc\0", 6));
    EXPECT_TRUE(name(".").is_root());
    EXPECT_EQ(DnsName().text(), ".");
}

TEST(DnsName, KeepsTheCaseAndComparesWithoutIt) {
    const DnsName mixed = name("DB.Service.Consul");
    EXPECT_EQ(mixed.text(), "DB.Service.Consul.");
    EXPECT_EQ(mixed, name("db.service.consul"));
    EXPECT_FALSE(mixed.is_identical(name("db.service.consul")));
    EXPECT_EQ(mixed.key(), name("db.service.consul").key());
    EXPECT_FALSE(mixed == name("db.service.consux"));
}

TEST(DnsName, EscapesWhatIsNoPlainLetter) {
    const DnsName instance = name(R"(Web\032Server\.1\\\195\188._http._tcp.local)");
    EXPECT_EQ(instance.labels().front(), "Web Server.1\\\xc3\xbc");
    EXPECT_EQ(instance.text(), R"(Web\032Server\.1\\\195\188._http._tcp.local.)");
    EXPECT_EQ(name(instance.text()), instance);
    for (const std::string_view bad : {"a\\", "a\\25", "a\\256", "a\\2x5b"}) {
        EXPECT_FALSE(DnsName::parse(bad)) << bad;
    }
}

TEST(DnsName, HoldsBothSidesOfEachLimit) {
    const std::string label(63, 'x');
    EXPECT_TRUE(DnsName::parse(label + ".org"));
    EXPECT_FALSE(DnsName::parse(label + "x.org"));
    const std::string long_name = label + "." + label + "." + label + "." + std::string(61, 'y');
    EXPECT_EQ(name(long_name).wire().size(), 255U);
    const auto longer = DnsName::parse(long_name + "y");
    ASSERT_FALSE(longer);
    EXPECT_THAT(longer.error().what, HasSubstr("over 255"));
    for (const std::string_view bad : {"", "..", ".a", "a..b"}) {
        EXPECT_FALSE(DnsName::parse(bad)) << bad;
    }
}

TEST(DnsName, KnowsWhatIsUnderWhat) {
    EXPECT_TRUE(name("web.service.CONSUL").is_under(name("consul")));
    EXPECT_TRUE(name("consul").is_under(name("consul")));
    EXPECT_TRUE(name("consul").is_under(DnsName()));
    EXPECT_FALSE(name("service.xconsul").is_under(name("consul")));
    EXPECT_FALSE(name("consul").is_under(name("service.consul")));
    EXPECT_EQ(name("a.b").below(name("c"))->text(), "a.b.c.");
}

}  // namespace
}  // namespace datapunk::mesh::wire::dns
