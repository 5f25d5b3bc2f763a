// The registry's DNS answers: all that a real Consul 1.16.4 was asked (consul_1_16_dns.txt, written
// by dig), and what was not recorded.

#include "server/dns/zone.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "core/strings.h"
#include "io/address.h"
#include "server/dns/response_limit.h"

namespace datapunk::mesh::server::dns {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsRcode;
using wire::dns::DnsRecord;
using wire::dns::DnsType;

struct Service {
    std::string id;
    std::string name;
    std::string address;
    std::uint16_t port = 0;
    std::vector<std::string> tags;
    catalog::DnsWeights weights;
    std::optional<Health> check;
};

DnsType type_of(std::string_view text) {
    for (const DnsType type :
         {DnsType::a,
          DnsType::aaaa,
          DnsType::srv,
          DnsType::txt,
          DnsType::ns,
          DnsType::soa,
          DnsType::ptr,
          DnsType::any}) {
        if (to_string(type) == text) return type;
    }
    if (text == "ANY") return DnsType::any;
    ADD_FAILURE() << text;
    return DnsType::a;
}

// A record as dig writes it, with one blank between fields and times of day as X.
std::string as_dig(const DnsRecord& record) {
    std::string data;
    if (const auto* address = std::get_if<wire::dns::AddressData>(&record.data)) {
        const bool is_v6 = record.type == DnsType::aaaa;
        data = io::SocketAddress{.ip = address->ip, .is_v6 = is_v6}.ip_text();
    } else if (const auto* name = std::get_if<wire::dns::NameData>(&record.data)) {
        data = name->name.text();
    } else if (const auto* srv = std::get_if<wire::dns::SrvData>(&record.data)) {
        data = std::to_string(srv->priority) + " " + std::to_string(srv->weight) + " " +
               std::to_string(srv->port) + " " + srv->target.text();
    } else if (const auto* txt = std::get_if<wire::dns::TxtData>(&record.data)) {
        data = "\"" + txt->texts.at(0) + "\"";
    } else if (const auto* soa = std::get_if<wire::dns::SoaData>(&record.data)) {
        data = soa->primary.text() + " " + soa->mailbox.text() + " X " +
               std::to_string(soa->refresh) + " " + std::to_string(soa->retry) + " " +
               std::to_string(soa->expire) + " " + std::to_string(soa->minimum);
    }
    const std::string type = record.type == DnsType::any ? "ANY" : to_string(record.type);
    return record.name.text() + " " + std::to_string(record.ttl_s) + " IN " + type + " " + data;
}

std::vector<std::string> as_dig(const std::vector<DnsRecord>& records) {
    std::vector<std::string> lines;
    for (const DnsRecord& record : records) lines.push_back(as_dig(record));
    std::sort(lines.begin(), lines.end());
    return lines;
}

class ZoneTest : public testing::Test {
  protected:
    ZoneTest() {
        catalog::SetLocalNode local;
        local.node.name = "ref1";
        local.node.address = "127.0.0.1";
        local.node.meta = {
            {"rack", "r1"}, {"consul-network-segment", ""}, {"consul-version", "1.16.4"}
        };
        apply(local);
    }

    void apply(catalog::Command command) {
        const auto applied = catalog_.apply(std::move(command));
        ASSERT_TRUE(applied) << applied.error().what;
    }

    void add(const Service& service) {
        catalog::RegisterService command;
        command.service.id = service.id;
        command.service.name = service.name;
        command.service.address = service.address;
        command.service.port = service.port;
        command.service.tags = service.tags;
        command.service.weights = service.weights;
        if (service.check) {
            catalog::CheckRegistration check;
            check.check.id = "c:" + service.id;
            check.check.name = check.check.id;
            check.check.service_id = service.id;
            check.check.status = *service.check;
            check.check.definition.kind = catalog::CheckKind::ttl;
            check.check.definition.ttl = 1h;
            check.has_status = true;
            command.checks.push_back(check);
        }
        apply(command);
    }

    void add_recorded() {
        add({"d1", "db", "10.0.0.1", 5432, {"primary"}, {10, 1}, Health::passing});
        add({"d2", "db", "10.0.0.2", 5433, {"replica"}, {5, 2}, Health::warning});
        add({"d3", "db", "10.0.0.3", 5434, {"d3"}, {}, Health::critical});
        add({"db6", "db6", "2001:db8::1", 1, {}, {}, {}});
        add({"dbname", "dbname", "host.example.org", 1, {}, {}, {}});
        add({"noaddr", "noaddr", "", 77, {}, {}, {}});
        add({"consul", "consul", "", 8300, {}, {}, {}});
        add({"web", "web", "", 81, {}, {}, {}});
        apply(query("q1", "web", "7s"));
    }

    static catalog::SetQuery query(std::string name, std::string service, std::string ttl) {
        catalog::SetQuery command;
        command.query.id = "8f246b77-f3e1-ff88-5b48-8ec93abf3e0" + name.substr(name.size() - 1);
        command.query.name = std::move(name);
        command.query.service = std::move(service);
        command.query.dns_ttl = std::move(ttl);
        return command;
    }

    void add_many(int count) {
        for (int i = 1; i <= count; ++i) {
            const std::string n = std::to_string(i);
            add({"m" + n, "many", "10.1.0." + n, static_cast<std::uint16_t>(9000 + i), {}, {}, {}});
        }
    }

    static std::string question(
        std::string_view name, DnsType type, std::optional<std::uint16_t> edns = 1232
    ) {
        DnsMessage query{.id = 77, .recursion_desired = true};
        query.questions.push_back({.name = *DnsName::parse(name), .type = type});
        if (edns) query.edns = wire::dns::Edns{.udp_bytes_max = *edns};
        return *wire::dns::encode(query);
    }

    std::string raw(const std::string& message, Asked asked = {}) {
        asked.now = now_;
        asked.wall_now = WallTime(1'800'000'000s);
        return zone_.answer(message, asked);
    }

    DnsMessage ask(
        std::string_view name,
        DnsType type,
        std::optional<std::uint16_t> edns = 1232,
        Asked asked = {}
    ) {
        const std::string reply = raw(question(name, type, edns), asked);
        bytes_ = reply.size();
        const auto message = wire::dns::decode(reply);
        EXPECT_TRUE(message) << message.error().what;
        return message ? *message : DnsMessage{};
    }

    catalog::Catalog catalog_;
    DnsDoorConfig config_;
    Zone zone_{catalog_, config_, core::Rng(3)};
    Instant now_{1h};
    std::size_t bytes_ = 0;  // of the last reply
};

// One conversation of the recording.
struct Recorded {
    std::string asked;  // "db.service.consul SRV"
    std::string status;
    std::string flags;
    std::map<std::string, std::vector<std::string>> sections;
    std::string question;
};

std::vector<Recorded> read_recording() {
    std::ifstream in(MESH_SOURCE_DIR "/src/server/dns/consul_1_16_dns.txt");
    std::vector<Recorded> all;
    std::string line;
    std::string section;
    while (std::getline(in, line) && !line.starts_with("###")) {
        std::istringstream words(line);
        if (line.starts_with(">>> dig ")) {
            all.push_back({.asked = line.substr(8)});
            section.clear();
        } else if (const auto at = line.find("status: "); at != std::string::npos) {
            all.back().status = line.substr(at + 8, line.find(',', at) - at - 8);
        } else if (line.starts_with(";; flags: ")) {
            all.back().flags = line.substr(10, line.find(';', 10) - 10);
        } else if (line.starts_with(";; ") && line.ends_with(" SECTION:")) {
            section = line.substr(3, line.size() - 12);
        } else if (section == "QUESTION" && line.starts_with(";")) {
            words.ignore(1);
            words >> all.back().question;
        } else if (!line.empty() && !line.starts_with(";")) {
            std::string joined;
            std::string word;
            bool is_soa = false;
            for (int field = 0; words >> word; ++field) {
                is_soa = is_soa || (field == 3 && word == "SOA");
                if (is_soa && field == 6) word = "X";
                joined += (joined.empty() ? "" : " ") + word;
            }
            all.back().sections[section].push_back(joined);
        }
    }
    for (Recorded& one : all) {
        for (auto& [name, lines] : one.sections) std::sort(lines.begin(), lines.end());
    }
    return all;
}

std::string flags_of(const DnsMessage& message) {
    std::string flags = "qr";
    if (message.is_authoritative) flags += " aa";
    if (message.is_truncated) flags += " tc";
    if (message.recursion_desired) flags += " rd";
    if (message.recursion_available) flags += " ra";
    return flags;
}

TEST_F(ZoneTest, AnswersAsTheRecordedConsulDid) {
    add_recorded();
    const std::vector<Recorded> recording = read_recording();
    ASSERT_GE(recording.size(), 40U);
    for (const Recorded& one : recording) {
        SCOPED_TRACE(one.asked);
        std::istringstream words(one.asked);
        std::string first;
        std::string type = "PTR";
        words >> first;
        if (first != "-x") words >> type;
        const DnsMessage reply = ask(one.question, type_of(type));
        EXPECT_EQ(to_string(reply.rcode), one.status);
        EXPECT_EQ(flags_of(reply), one.flags);
        EXPECT_EQ(reply.questions.at(0).name.text(), one.question);
        auto sections = one.sections;
        EXPECT_EQ(as_dig(reply.answers), sections["ANSWER"]);
        EXPECT_EQ(as_dig(reply.authority), sections["AUTHORITY"]);
        EXPECT_EQ(as_dig(reply.additional), sections["ADDITIONAL"]);
        ASSERT_TRUE(reply.edns);
        EXPECT_EQ(reply.edns->udp_bytes_max, 1232);
    }
}

// consul-recorded, 60 instances: sizes and counts. Where the recorded Consul left out OPT together
// with other records, we keep it: 11 bytes more.
TEST_F(ZoneTest, ManyInstancesAreCutAsTheRecordedConsulDid) {
    add_many(60);
    struct Case {
        bool is_tcp;
        std::optional<std::uint16_t> edns;
        DnsType type;
        std::size_t answers;
        std::size_t additional;
        std::size_t bytes;
    };

    constexpr std::size_t kOpt = 11;
    const std::vector<Case> cases = {
        {false, {}, DnsType::a, 3, 0, 85},
        {false, {}, DnsType::srv, 3, 3, 217},
        {false, 512, DnsType::a, 3, 0, 85 + kOpt},
        {false, 512, DnsType::srv, 3, 3, 217 + kOpt},
        {false, 1232, DnsType::a, 60, 0, 1008},
        {false, 1232, DnsType::srv, 19, 19, 1177 + kOpt},
        {false, 4096, DnsType::a, 60, 0, 1008},
        {false, 4096, DnsType::srv, 60, 60, 3637 + kOpt},
        {false, 16'384, DnsType::srv, 60, 240, 9058},
        {true, 1232, DnsType::a, 60, 0, 1008},
        {true, 1232, DnsType::srv, 60, 240, 9058},
    };
    for (const Case& one : cases) {
        SCOPED_TRACE(
            std::to_string(one.edns.value_or(0)) + " " + to_string(one.type) +
            (one.is_tcp ? " tcp" : "")
        );
        const Asked asked{.is_tcp = one.is_tcp, .is_local = true};
        const DnsMessage reply = ask("many.service.consul", one.type, one.edns, asked);
        EXPECT_EQ(reply.answers.size(), one.answers);
        EXPECT_EQ(reply.additional.size(), one.additional);
        EXPECT_EQ(bytes_, one.bytes);
        EXPECT_FALSE(reply.is_truncated);
    }
}

TEST_F(ZoneTest, AnotherMachineGetsNoLargerDatagramThanConfigured) {
    add_many(200);
    EXPECT_GT(
        ask("many.service.consul", DnsType::srv, 65'000, {.is_local = true}).answers.size(), 199U
    );
    EXPECT_LE(bytes_, 65'000U);
    const DnsMessage reply = ask("many.service.consul", DnsType::srv, 65'000);
    EXPECT_LE(bytes_, 4096U);
    EXPECT_THAT(reply.answers, SizeIs(67));
    // Less than 512 is not less.
    ask("many.service.consul", DnsType::a, 100);
    EXPECT_GT(bytes_, 80U);
}

TEST_F(ZoneTest, SaysThatRecordsWereLeftOutIfItShall) {
    config_.enable_truncate = true;
    Zone zone(catalog_, config_, core::Rng(1));
    add_many(60);
    const auto is_cut = [&](DnsType type, std::optional<std::uint16_t> edns, bool is_tcp) {
        const auto reply = wire::dns::decode(
            zone.answer(question("many.service.consul", type, edns), {.is_tcp = is_tcp})
        );
        return reply && reply->is_truncated;
    };
    EXPECT_TRUE(is_cut(DnsType::a, {}, false));
    EXPECT_TRUE(is_cut(DnsType::srv, 1232, false));
    EXPECT_FALSE(is_cut(DnsType::srv, 4096, false));  // only TXT went
    EXPECT_FALSE(is_cut(DnsType::a, 1232, false));
    EXPECT_FALSE(is_cut(DnsType::srv, {}, true));
}

TEST_F(ZoneTest, AHostWithManyInstancesIsSaidOnce) {
    for (int i = 1; i <= 60; ++i) {
        const auto port = static_cast<std::uint16_t>(9000 + i);
        add({"h" + std::to_string(i), "host", "10.1.0.1", port, {}, {}, {}});
    }
    const DnsMessage reply = ask("host.service.consul", DnsType::srv, {});
    EXPECT_THAT(reply.answers, SizeIs(3));
    EXPECT_THAT(reply.additional, SizeIs(1));
    EXPECT_THAT(ask("host.service.consul", DnsType::a, {}).answers, SizeIs(1));
}

TEST_F(ZoneTest, InstancesComeInRandomOrder) {
    add_many(3);
    std::set<std::vector<std::uint16_t>> orders;
    for (int i = 0; i < 200; ++i) {
        std::vector<std::uint16_t> ports;
        for (const DnsRecord& record : ask("many.service.consul", DnsType::srv).answers) {
            ports.push_back(std::get<wire::dns::SrvData>(record.data).port);
        }
        orders.insert(ports);
    }
    EXPECT_EQ(orders.size(), 6U);
}

TEST_F(ZoneTest, OnlyPassingLeavesOutWarningsToo) {
    add_recorded();
    config_.only_passing = true;
    Zone zone(catalog_, config_, core::Rng(1));
    const auto reply =
        wire::dns::decode(zone.answer(question("db.service.consul", DnsType::a), {}));
    ASSERT_TRUE(reply);
    EXPECT_THAT(as_dig(reply->answers), ElementsAre("db.service.consul. 0 IN A 10.0.0.1"));
}

TEST_F(ZoneTest, NamesAreFoundHoweverTheyAreSpelled) {
    add({"API-1", "MyAPI", "10.0.0.9", 80, {"Blue.Green"}, {}, {}});
    for (const char* name :
         {"MyAPI.service.consul",
          "myapi.SERVICE.consul",
          "blue.green.myapi.service.Consul",
          "_MYAPI._tcp.service.dc1.consul",
          "myapi.service.dc1.dc.consul"}) {
        EXPECT_THAT(ask(name, DnsType::a).answers, SizeIs(1)) << name;
    }
    EXPECT_THAT(ask("_myapi._tcp.consul", DnsType::srv).answers, SizeIs(1));
    EXPECT_THAT(ask("REF1.node.consul", DnsType::a).answers, SizeIs(1));
    for (const char* name :
         {"myapi.service.dc2.consul",
          "myapi.service.dc1.dc2.consul",
          "service.consul",
          "red.myapi.service.consul",
          "0a0000zz.addr.consul",
          "0a00.addr.consul",
          "x.0a000001.addr.consul"}) {
        const DnsMessage reply = ask(name, DnsType::a);
        EXPECT_EQ(reply.rcode, DnsRcode::name_error) << name;
        EXPECT_THAT(reply.authority, SizeIs(1)) << name;
    }
}

TEST_F(ZoneTest, WhatWasNotThereIsFoundSoonAfterItCame) {
    EXPECT_EQ(ask("late.service.consul", DnsType::a).rcode, DnsRcode::name_error);
    add({"late", "Late", "10.0.0.9", 80, {}, {}, {}});
    now_ += 2s;
    EXPECT_EQ(ask("late.service.consul", DnsType::a).rcode, DnsRcode::no_error);
    add({"exact", "exact", "10.0.0.9", 80, {}, {}, {}});
    EXPECT_EQ(ask("exact.service.consul", DnsType::a).rcode, DnsRcode::no_error);
}

TEST_F(ZoneTest, AddressesLeadBackToNamesAlsoIpv6) {
    add_recorded();
    const DnsMessage reply =
        ask("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            DnsType::ptr);
    ASSERT_THAT(reply.answers, SizeIs(1));
    EXPECT_THAT(as_dig(reply.answers[0]), testing::EndsWith("PTR db6.service.dc1.consul."));
    EXPECT_EQ(ask("9.9.9.9.in-addr.arpa", DnsType::ptr).rcode, DnsRcode::refused);
    EXPECT_EQ(ask("1.0.0.300.in-addr.arpa", DnsType::ptr).rcode, DnsRcode::refused);
}

TEST_F(ZoneTest, RefusesWhatItDoesNotDo) {
    const auto rcode = [&](const DnsMessage& query) {
        const auto reply = wire::dns::decode(raw(*wire::dns::encode(query)));
        EXPECT_TRUE(reply);
        return reply ? to_string(reply->rcode) : "none";
    };
    DnsMessage query{.id = 1};
    EXPECT_EQ(rcode(query), "FORMERR");
    query.questions.push_back({.name = *DnsName::parse("consul"), .type = DnsType::axfr});
    EXPECT_EQ(rcode(query), "NOTIMP");
    query.questions[0].type = DnsType::a;
    query.questions[0].class_code = 3;
    EXPECT_EQ(rcode(query), "REFUSED");
    query.questions[0].class_code = 1;
    query.edns = wire::dns::Edns{.version = 1};
    EXPECT_EQ(rcode(query), "BADVERS");
    query.edns.reset();
    query.opcode = wire::dns::DnsOpcode::update;
    EXPECT_EQ(rcode(query), "NOTIMP");
    query.questions.push_back(query.questions[0]);
    query.opcode = wire::dns::DnsOpcode::query;
    EXPECT_EQ(rcode(query), "FORMERR");
}

TEST_F(ZoneTest, NeverAnswersAnAnswerAndSaysSoOfWhatItCannotRead) {
    DnsMessage reply{.id = 1, .is_response = true};
    EXPECT_THAT(raw(*wire::dns::encode(reply)), IsEmpty());
    EXPECT_THAT(raw(""), IsEmpty());
    EXPECT_THAT(raw("short"), IsEmpty());
    std::string broken = question("db.service.consul", DnsType::a);
    broken.pop_back();
    const auto error = wire::dns::decode(raw(broken));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->id, 77);
    EXPECT_EQ(error->rcode, DnsRcode::format_error);
    broken[2] = static_cast<char>(0x80);
    EXPECT_THAT(raw(broken), IsEmpty());
}

TEST_F(ZoneTest, ACutAnswerIsNotLargerThanItsQuestion) {
    const std::string asked = question("db.service.consul", DnsType::srv);
    const std::string cut = Zone::cut_answer(asked);
    EXPECT_LE(cut.size(), asked.size());
    const auto reply = wire::dns::decode(cut);
    ASSERT_TRUE(reply);
    EXPECT_TRUE(reply->is_truncated && reply->is_response);
    EXPECT_THAT(reply->answers, IsEmpty());
    EXPECT_THAT(Zone::cut_answer(cut), IsEmpty());
    // A name of two bytes that leads into the header and would be written out in full.
    std::string pointing = asked.substr(0, 12) + std::string("\xc0\x03\0\1\0\1", 6);
    pointing[3] = 1;
    EXPECT_THAT(Zone::cut_answer(pointing), IsEmpty());
}

TEST_F(ZoneTest, WithAccessControlItSaysWhatTheAnonymousTokenMayRead) {
    add_recorded();
    config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = {}};
    const auto ask_new_zone = [&](std::string_view name, DnsType type) {
        Zone zone(catalog_, config_, core::Rng(1));
        const auto reply = wire::dns::decode(zone.answer(question(name, type), {}));
        EXPECT_TRUE(reply);
        return reply ? *reply : DnsMessage{};
    };
    for (const auto& [name, type] : std::vector<std::pair<const char*, DnsType>>{
             {"db.service.consul", DnsType::a},
             {"noaddr.service.consul", DnsType::srv},
             {"ref1.node.consul", DnsType::a},
             {"consul", DnsType::ns},
             {"1.0.0.10.in-addr.arpa", DnsType::ptr},
             {"1.0.0.127.in-addr.arpa", DnsType::ptr}
         }) {
        const DnsMessage reply = ask_new_zone(name, type);
        EXPECT_THAT(reply.answers, IsEmpty()) << name;
        EXPECT_THAT(reply.additional, IsEmpty()) << name;
    }
    config_.acl.is_default_allow = true;
    EXPECT_THAT(ask_new_zone("db.service.consul", DnsType::a).answers, SizeIs(2));
    EXPECT_THAT(ask_new_zone("ref1.node.consul", DnsType::a).answers, SizeIs(1));
}

TEST_F(ZoneTest, APreparedQueryAnswersAsTheHttpApiDoes) {
    add_recorded();
    catalog::SetQuery db = query("q2", "db", "");
    db.query.tags = {"!replica"};
    db.query.ignore_checks = {"c:d3"};
    apply(db);
    EXPECT_THAT(
        as_dig(ask("q2.query.consul", DnsType::srv).answers),
        UnorderedElementsAre(
            "q2.query.consul. 0 IN SRV 1 10 5432 0a000001.addr.dc1.consul.",
            "q2.query.consul. 0 IN SRV 1 0 5434 0a000003.addr.dc1.consul."
        )
    ) << "a check that the query ignores keeps nothing back";
    EXPECT_THAT(ask("Q2.qUeRy.consul", DnsType::a).answers, SizeIs(2));
    EXPECT_THAT(ask("_q2._tcp.query.consul", DnsType::srv).answers, SizeIs(2));
    EXPECT_THAT(ask(db.query.id + ".query.dc1.consul", DnsType::a).answers, SizeIs(2));
    db.query.only_passing = true;
    db.query.tags = {"replica"};
    apply(db);
    EXPECT_EQ(ask("q2.query.consul", DnsType::a).rcode, wire::dns::DnsRcode::name_error);
    EXPECT_EQ(ask("q9.query.consul", DnsType::a).rcode, wire::dns::DnsRcode::name_error);
    apply(catalog::DeleteQuery{db.query.id});
    EXPECT_EQ(ask("q2.query.consul", DnsType::a).rcode, wire::dns::DnsRcode::name_error);
}

TEST_F(ZoneTest, APreparedQueryWithATokenBringsItsRights) {
    add_recorded();
    config_.acl = {.enabled = true, .is_default_allow = false, .initial_management = "root"};
    Zone zone(catalog_, config_, core::Rng(1));
    const auto answer = [&] {
        const auto reply =
            wire::dns::decode(zone.answer(question("q1.query.consul", DnsType::a), {}));
        EXPECT_TRUE(reply);
        return reply ? *reply : DnsMessage{};
    };
    EXPECT_EQ(answer().rcode, wire::dns::DnsRcode::name_error) << "anonymous sees nothing";
    catalog::SetQuery privileged = query("q1", "web", "7s");
    privileged.query.token = "root";
    apply(privileged);
    EXPECT_THAT(answer().answers, SizeIs(1));
    privileged.query.token = "gone";
    apply(privileged);
    EXPECT_EQ(answer().rcode, wire::dns::DnsRcode::server_failure);
}

TEST_F(ZoneTest, OtherDomainsAndTimesToLiveAreConfigured) {
    config_.domain = "mesh.internal.";
    config_.ttl = 9s;
    Zone zone(catalog_, config_, core::Rng(1));
    add_recorded();
    const auto lines = [&](std::string_view name, DnsType type) {
        const auto reply = wire::dns::decode(zone.answer(question(name, type), {}));
        EXPECT_TRUE(reply);
        return as_dig(reply->answers);
    };
    EXPECT_THAT(
        lines("noaddr.service.mesh.internal", DnsType::srv),
        ElementsAre("noaddr.service.mesh.internal. 9 IN SRV 1 1 77 ref1.node.dc1.mesh.internal.")
    );
    EXPECT_THAT(lines("noaddr.service.consul", DnsType::srv), IsEmpty());
}

TEST(ResponseLimitTest, CutsOneNetworkAndLeavesTheOthersAlone) {
    ResponseLimit limit(100, 7);
    using Verdict = ResponseLimit::Verdict;
    const Instant now{1h};
    const auto from = [](std::string_view ip) { return *io::parse_ip(ip, 5); };
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(limit.ask(from("192.0.2." + std::to_string(i)), now), Verdict::answer);
    }
    EXPECT_EQ(limit.ask(from("192.0.2.200"), now), Verdict::cut);
    EXPECT_EQ(limit.ask(from("2001:db8:0:1::1"), now), Verdict::answer);
    for (int i = 0; i < 899; ++i) EXPECT_EQ(limit.ask(from("192.0.2.1"), now), Verdict::cut);
    EXPECT_EQ(limit.ask(from("192.0.2.1"), now), Verdict::silent);
    EXPECT_EQ(limit.ask(from("192.0.2.1"), now + 1s), Verdict::answer);
    for (int i = 0; i < 10'000; ++i) {
        EXPECT_EQ(limit.ask(from("127.0.0.1"), now), Verdict::answer);
    }
}

TEST(DnsDoorConfigTest, NamesEveryBadFieldAtOnce) {
    EXPECT_TRUE(check(DnsDoorConfig{}));
    const auto bad = check(DnsDoorConfig{
        .domain = "a..b",
        .datacenter = "",
        .ttl = -1s,
        .udp_answer_limit = 0,
        .udp_bytes_max = 100,
        .responses_per_second_max = 0,
        .tcp_connections_max = 0,
        .tcp_idle_timeout = 0s
    });
    ASSERT_FALSE(bad);
    for (const char* text :
         {"domain",
          "datacenter",
          "ttl",
          "udp_answer_limit",
          "udp_bytes_max",
          "responses",
          "tcp_connections",
          "timeouts"}) {
        EXPECT_THAT(bad.error().what, testing::HasSubstr(text));
    }
}

}  // namespace
}  // namespace datapunk::mesh::server::dns
