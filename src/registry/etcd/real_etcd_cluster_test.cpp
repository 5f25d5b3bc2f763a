// The backend on a real cluster of three (Debian's etcd-server): members and leaders are killed,
// and nobody who looks a service up hears of it; and on one that wants TLS and a password. PEERS=0
// in the environment leaves them out.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "io/tcp.h"
#include "io/test_certificates.h"
#include "registry/etcd/etcd_backend.h"
#include "registry/test_conformance.h"
#include "registry/test_peers.h"

namespace datapunk::mesh::registry::etcd {
namespace {

using namespace std::chrono_literals;

// What a program says.
std::string output_of(const std::string& command) {
    std::string out;
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return out;
    std::array<char, 4096> buffer{};
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
        out.append(buffer.data(), got);
    }
    ::pclose(pipe);
    return out;
}

// The value of a string member of a JSON answer, wherever it stands.
std::string member_of(const std::string& json, const std::string& name) {
    const std::string before = "\"" + name + "\":\"";
    const std::size_t at = json.find(before);
    if (at == std::string::npos) return {};
    const std::size_t begin = at + before.size();
    return json.substr(begin, json.find('"', begin) - begin);
}

class EtcdCluster : public testing::Test, public RegistryUnderTest {
  public:
    static constexpr std::size_t kMembers = 3;

    struct Member {
        std::uint16_t port = free_port();
        std::uint16_t peer_port = free_port();
        std::optional<Peer> process;
    };

    void begin(std::size_t members) {
        members_ = std::vector<Member>(members);
        for (std::size_t i = 0; i < members; ++i) start(i);
    }

    void start(std::size_t at) {
        const auto peer_url = [](const Member& one) {
            return fmt::format("http://127.0.0.1:{}", one.peer_port);
        };
        std::string cluster;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            cluster += fmt::format("{}n{}={}", i == 0 ? "" : ",", i, peer_url(members_[i]));
        }
        Member& member = members_[at];
        const std::string url = fmt::format("{}://127.0.0.1:{}", scheme_, member.port);
        std::vector<std::string> command = {
            "etcd",
            fmt::format("--name=n{}", at),
            "--data-dir=" + directory_ / fmt::format("data-{}", at),
            "--listen-client-urls=" + url,
            "--advertise-client-urls=" + url,
            "--listen-peer-urls=" + peer_url(member),
            "--initial-advertise-peer-urls=" + peer_url(member),
            "--initial-cluster=" + cluster,
            "--logger=zap",
            "--log-level=error"
        };
        command.insert(command.end(), extra_.begin(), extra_.end());
        member.process.emplace(command, directory_ / fmt::format("log-{}", at));
    }

    std::unique_ptr<EtcdBackend> make(EtcdConfig config) {
        config.endpoints.clear();
        for (const Member& member : members_) config.endpoints.push_back({.port = member.port});
        config.node = "a-test";
        config.lease_ttl = 5s;
        config.request_timeout = 1500ms;
        return *EtcdBackend::create(network_, config, core::Logger());
    }

    void ready() {
        Conversation talk(*this, "ready");
        const Instant end = loop_->now() + 30s;
        for (;;) {
            const auto answer = talk.value(backend_->services(loop_->now() + 2s));
            if (answer) return;
            ASSERT_LT(loop_->now(), end) << answer.error().what << "; see " << directory_.path();
            ASSERT_TRUE(talk.value(pause(50ms)));
        }
    }

    io::Task<Result<>> pause(Duration time) {
        co_await io::sleep_for(*loop_, time);
        co_return Ok{};
    }

    std::string ask(std::size_t at, const std::string& path, const std::string& body = "{}") {
        return output_of(fmt::format(
            "curl -s -m 5 {} -d '{}' {}://127.0.0.1:{}{}",
            curl_options_,
            body,
            scheme_,
            members_[at].port,
            path
        ));
    }

    // kMembers: nobody.
    std::size_t leader() {
        for (std::size_t i = 0; i < members_.size(); ++i) {
            if (!members_[i].process) continue;
            const std::string status = ask(i, "/v3/maintenance/status");
            const std::string self = member_of(status, "member_id");
            if (!self.empty() && self == member_of(status, "leader")) return i;
        }
        return kMembers;
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    PeerDirectory directory_{"etcd-cluster"};
    std::string scheme_ = "http";
    std::string curl_options_;
    std::vector<std::string> extra_;
    std::vector<Member> members_;
    std::unique_ptr<EtcdBackend> backend_;
};

TEST_F(EtcdCluster, LosesItsLeaderAndNobodyWhoLooksItUpHearsOfIt) {
    if (!has_peers()) GTEST_SKIP() << "PEERS=0";
    begin(kMembers);
    backend_ = make({});
    ready();
    Conversation talk(*this, "survivor");
    ASSERT_TRUE(talk.add(talk.config(81)));
    ASSERT_TRUE(talk.add(talk.config(82)));
    Answer known = talk.until_size(2);
    // Whoever leads, twice: the second time the one that came back takes part.
    for (std::uint16_t round = 0; round < 2; ++round) {
        SCOPED_TRACE(round);
        const std::size_t gone = leader();
        ASSERT_LT(gone, kMembers);
        members_[gone].process.reset();
        // The rest elects another; what is registered is there, and what comes is heard of.
        const ServiceConfig more = talk.config(static_cast<std::uint16_t>(90 + round));
        Result<> added = talk.add(more);
        for (int tries = 0; !added && tries < 100; ++tries) {
            EXPECT_TRUE(added.error().retryable) << added.error().what;
            ASSERT_TRUE(talk.value(pause(100ms)));
            added = talk.add(more);
        }
        ASSERT_TRUE(added) << added.error().what;
        const std::size_t before = known.endpoints.size();
        for (int tries = 0; known.endpoints.size() == before && tries < 100; ++tries) {
            const auto answer = talk.wait(known.index, 1s);
            if (!answer) {
                ASSERT_TRUE(talk.value(pause(100ms)));
                continue;
            }
            EXPECT_GE(answer->endpoints.size(), before) << "none has gone";
            known = *answer;
        }
        ASSERT_EQ(known.endpoints.size(), 3U + round);
        EXPECT_TRUE(*talk.has(talk.config(81).id));
        const std::size_t now = leader();
        EXPECT_LT(now, kMembers);
        EXPECT_NE(now, gone);
        start(gone);
    }
    // The lease is renewed at whoever leads: what is left of it shrinks, and grows again.
    const std::size_t leads = leader();
    ASSERT_LT(leads, kMembers);
    const std::string lease = member_of(ask(leads, "/v3/lease/leases"), "ID");
    ASSERT_FALSE(lease.empty());
    int left_before = 1'000;
    bool is_renewed = false;
    for (int tries = 0; !is_renewed && tries < 100; ++tries) {
        const std::string said =
            ask(leads, "/v3/lease/timetolive", fmt::format(R"({{"ID":"{}"}})", lease));
        const int left = std::atoi(member_of(said, "TTL").c_str());
        is_renewed = left > left_before;
        left_before = left;
        ASSERT_TRUE(talk.value(pause(100ms)));
    }
    EXPECT_TRUE(is_renewed);
    EXPECT_EQ(talk.until_size(4).endpoints, known.endpoints);
}

TEST_F(EtcdCluster, IsSpokenToOverTlsWithAPassword) {
    if (!has_peers()) GTEST_SKIP() << "PEERS=0";
    const auto authority = io::make_test_certificate({.common_name = "a test's", .is_ca = true});
    const auto server = io::make_test_certificate(
        {.common_name = "etcd", .names = "DNS:etcd.test,IP:127.0.0.1"}, &authority
    );
    const auto file = [this](const char* name, const std::string& text) {
        std::ofstream(directory_ / name) << text;
        return std::string(directory_ / name);
    };
    const std::string ca = file("ca.pem", authority.certificate);
    extra_ = {
        "--cert-file=" + file("server.pem", server.certificate),
        "--key-file=" + file("server.key", server.key)
    };
    scheme_ = "https";
    extra_.insert(extra_.end(), {"--heartbeat-interval=20", "--election-timeout=200"});
    curl_options_ = "--cacert " + ca;
    begin(1);
    EtcdConfig config{.tls = io::TlsClientConfig{.ca = ca}};
    backend_ = make(config);
    ready();
    ask(0, "/v3/auth/user/add", R"({"name":"root","password":"top"})");
    ask(0, "/v3/auth/role/add", R"({"name":"root"})");
    ask(0, "/v3/auth/user/grant", R"({"user":"root","role":"root"})");
    ask(0, "/v3/auth/user/add", R"({"name":"mesh","password":"secret"})");
    ask(0, "/v3/auth/role/add", R"({"name":"services"})");
    // "/dpmesh" up to "/dpmesi", in base64.
    ask(0,
        "/v3/auth/role/grant",
        R"({"name":"services","perm":{"permType":"READWRITE","key":"L2RwbWVzaA==","range_end":"L2RwbWVzaQ=="}})"
    );
    ask(0, "/v3/auth/user/grant", R"({"user":"mesh","role":"services"})");
    ask(0, "/v3/auth/enable");

    Conversation talk(*this, "guarded");
    const auto stranger = talk.add(talk.config(80));
    ASSERT_FALSE(stranger) << "nobody's word counts any more";
    EXPECT_EQ(stranger.error().code, Code::denied) << stranger.error().what;

    config.user = "mesh";
    config.password = "wrong";
    backend_ = make(config);
    const auto refused = talk.add(talk.config(80));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied) << refused.error().what;
    EXPECT_EQ(refused.error().what.find("wrong"), std::string::npos) << "a password in an error";

    config.password = "secret";
    backend_ = make(config);
    for (const Behaviour& behaviour : behaviours()) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
    // Without our authority it might be anybody.
    config.tls = io::TlsClientConfig{};
    backend_ = make(config);
    const auto unknown = talk.wait(0, 0s);
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().what.find("certificate"), std::string::npos) << unknown.error().what;
}

}  // namespace
}  // namespace datapunk::mesh::registry::etcd
