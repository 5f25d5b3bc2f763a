// DNS as a registry against Debian's bind9: zones changed by nsupdate, NOTIFY with TSIG, and the
// conformance suite. PEERS=0 in the environment leaves it out.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

#include "core/strings.h"
#include "io/epoll_loop.h"
#include "io/process.h"
#include "io/tcp.h"
#include "registry/dns/dns_backend.h"
#include "registry/test_conformance.h"
#include "sim/run.h"

namespace datapunk::mesh::registry::dns {
namespace {

using namespace std::chrono_literals;
using wire::dns::DnsName;
using wire::dns::DnsType;

constexpr std::string_view kKeyName = "mesh-key";
constexpr std::string_view kKeySecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

bool is_free(std::uint16_t port) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
        const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(port);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
        ::close(fd);
        if (!bound) return false;
    }
    return true;
}

// Below the range from which the kernel gives ports to outgoing connections.
std::uint16_t free_port() {
    core::Rng rng(io::random_seed());
    for (;;) {
        const auto port = static_cast<std::uint16_t>(20'000 + rng.below(12'000));
        if (is_free(port)) return port;
    }
}

std::string find_program(const std::string& name) {
    for (const char* directory : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
        if (::access((directory + name).c_str(), X_OK) == 0) return directory + name;
    }
    return {};
}

// `named` with the zone example.org, which who holds the key may change and which is notified to
// `notify_port`.
class NamedProcess {
  public:
    NamedProcess(
        const std::string& program,
        const std::filesystem::path& directory,
        std::uint16_t notify_port
    )
        : port_(free_port()) {
        std::ofstream(directory / "named.conf")
            << "key \"" << kKeyName << "\" { algorithm hmac-sha256; secret \"" << kKeySecret
            << "\"; };\n"
            << "options { directory \"" << directory.string() << "\"; pid-file \"named.pid\"; "
            << "listen-on port " << port_ << " { 127.0.0.1; }; listen-on-v6 { none; }; "
            << "recursion no; dnssec-validation no; notify-delay 0; notify-rate 1000; "
            << "startup-notify-rate 1000; session-keyfile \"session.key\"; "
            << "max-records-per-type 0; };\n"
            << "controls { };\n"
            << "zone \"example.org\" { type primary; file \"zone\"; notify explicit; "
            << "also-notify { 127.0.0.1 port " << notify_port << " key \"" << kKeyName << "\"; }; "
            << "allow-update { key \"" << kKeyName << "\"; }; };\n";
        std::ofstream(directory / "zone")
            << "$ORIGIN example.org.\n$TTL 3600\n"
            << "@ SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 1\n"
            << "@ NS ns\nns A 127.0.0.1\nlocalhost A 127.0.0.1\n";
        const std::string config = directory / "named.conf";
        const std::string log = directory / "named.log";
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // not left behind by a test that crashes
        const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ::dup2(fd, 1);
        ::dup2(fd, 2);
        ::execl(program.c_str(), "named", "-g", "-n", "1", "-c", config.c_str(), nullptr);
        ::_exit(127);
    }

    NamedProcess(const NamedProcess&) = delete;
    NamedProcess& operator=(const NamedProcess&) = delete;

    ~NamedProcess() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    // Returns when all its threads have stopped.
    void freeze() const {
        ::kill(pid_, SIGSTOP);
        ::waitpid(pid_, nullptr, WUNTRACED);
    }

    void thaw() const { ::kill(pid_, SIGCONT); }

    std::uint16_t port() const { return port_; }

  private:
    std::uint16_t port_;
    pid_t pid_ = -1;
};

io::Task<bool> answers_soa(io::Loop* loop, DnsClient* client, Instant deadline) {
    const DnsName zone = *DnsName::parse("example.org");
    const DnsType type = DnsType::soa;
    while (loop->now() < deadline) {
        auto answer = co_await client->ask(zone, type, deadline);
        if (answer && !answer->answers.empty()) co_return true;
        co_await io::sleep_for(*loop, 20ms);
    }
    co_return false;
}

// Escapes for the presentation form of a name's label, or a text's.
std::string escaped(std::string_view text, bool is_label) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                              (!is_label && (c == '=' || c == '.'));
        if (is_plain) {
            out += c;
        } else {
            std::string digits = std::to_string(static_cast<unsigned>(byte));
            digits.insert(0, 3 - digits.size(), '0');
            out += "\\" + digits;
        }
    }
    return out;
}

class RealNamed : public testing::Test, public RegistryUnderTest {
  public:
    void SetUp() override {
        const char* peers = std::getenv("PEERS");
        if (peers != nullptr && std::string_view(peers) == "0") GTEST_SKIP() << "PEERS=0";
        const std::string named = find_program("named");
        nsupdate_ = find_program("nsupdate");
        ASSERT_FALSE(named.empty() || nsupdate_.empty())
            << "bind9 and bind9-dnsutils are not installed; PEERS=0 leaves this out";
        std::string directory = testing::TempDir() + "named-XXXXXX";
        ASSERT_NE(::mkdtemp(directory.data()), nullptr);
        directory_ = directory;
        const std::uint16_t notify_port = free_port();
        process_.emplace(named, directory_, notify_port);
        config_.servers = {"127.0.0.1:" + std::to_string(process_->port())};
        config_.notify.address = "127.0.0.1";
        config_.notify.port = notify_port;
        config_.notify.key_name = kKeyName;
        config_.notify.key_secret = kKeySecret;
        config_.notify.per_second_max = 1000;
        config_.attempt_timeout = 1s;
        config_.name = "_{service}._tcp.example.org";
        config_.ttl_min = 100ms;
        DnsClient client(network_, config_);
        const Instant deadline = loop_->now() + 30s;
        const auto ready = sim::run_on(*loop_, answers_soa(loop_.get(), &client, deadline), 40s);
        ASSERT_TRUE(ready && *ready) << "no answer; see " << directory_ / "named.log";
    }

    void TearDown() override {
        backend_.reset();
        process_.reset();
        if (!HasFailure() && !directory_.empty()) std::filesystem::remove_all(directory_);
    }

    Backend& backend() override {
        if (backend_ == nullptr) {
            auto made = DnsBackend::create(network_, config_);
            EXPECT_TRUE(made) << made.error().what;
            backend_ = *std::move(made);
        }
        return *backend_;
    }

    io::Loop& loop() override { return *loop_; }

    // --- services in the zone, as records
    io::Task<Result<>> publish(ServiceConfig config, Instant deadline) override {
        std::string commands = lines(config, "update delete");
        commands += host_line(config);
        commands += lines(config, "update add");
        published_[config.name + " " + config.id] = config;
        auto done = co_await update(commands, deadline);
        co_return done;
    }

    io::Task<Result<>> withdraw(ServiceConfig config, Instant deadline) override {
        published_.erase(config.name + " " + config.id);
        auto done = co_await update(lines(config, "update delete"), deadline);
        co_return done;
    }

    io::Task<Result<>> update(std::string commands, Instant deadline) {
        std::ostringstream script;
        script << "server 127.0.0.1 " << process_->port() << "\nkey hmac-sha256:" << kKeyName << " "
               << kKeySecret << "\nzone example.org\n"
               << commands << "send\n";
        const std::string file = directory_ / "update";
        std::ofstream(file) << script.str();
        io::ProcessSpec spec;
        spec.arguments = {nsupdate_, file};
        auto done = co_await processes_.run(spec, deadline);
        if (!done) co_return std::move(done).error();
        if (!done->ok()) {
            co_return Error{.what = "nsupdate: " + done->output + done->errors + script.str()};
        }
        co_return Ok{};
    }

  protected:
    static std::string host_line(const ServiceConfig& config) {
        return "update add " + host_of(config) + " 60 A " + config.host + "\n";
    }

    static std::string host_of(const ServiceConfig& config) {
        std::string name = "h-" + config.host;
        std::replace(name.begin(), name.end(), '.', '-');
        return name + ".example.org.";
    }

    std::string lines(const ServiceConfig& config, const std::string& verb) const {
        const bool adds = verb == "update add";
        const std::string type = "_" + config.name + "._tcp.example.org.";
        const std::string ttl = adds ? " " + ttl_ + " " : " ";
        const std::string srv = ttl + "SRV 0 " + std::to_string(config.weight) + " " +
                                std::to_string(config.port) + " " + host_of(config) + "\n";
        if (config_.records == DnsRecords::srv) return verb + " " + type + srv;
        const std::string instance = escaped(config.id, true) + "." + type;
        std::string out = verb + " " + type + ttl + "PTR " + instance + "\n";
        // Whatever it was before.
        if (!adds) return out + verb + " " + instance + " SRV\n" + verb + " " + instance + " TXT\n";
        out += verb + " " + instance + srv;
        if (config.meta.empty() && config.tags.empty()) return out;
        out += verb + " " + instance + ttl + "TXT";
        for (const auto& [key, value] : config.meta) {
            out += " \"" + escaped(key + "=" + value, false) + "\"";
        }
        if (!config.tags.empty()) {
            std::string tags;
            for (const std::string& tag : config.tags) {
                if (!tags.empty()) tags += ',';
                for (const char c : tag) {
                    if (c == ',' || c == '\\') tags += '\\';
                    tags += c;
                }
            }
            out += " \"" + escaped("tags=" + tags, false) + "\"";
        }
        return out + "\n";
    }

    std::string ttl_ = "1";
    DnsConfig config_;
    std::string nsupdate_;
    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    io::KernelNetwork network_{*loop_};
    io::KernelProcesses processes_{*loop_};
    std::filesystem::path directory_;
    std::optional<NamedProcess> process_;
    std::unique_ptr<DnsBackend> backend_;
    std::map<std::string, ServiceConfig> published_;
};

class RealNamedSd : public RealNamed {
  public:
    RealNamedSd() { config_.records = DnsRecords::dns_sd; }
};

TEST_F(RealNamed, PassesTheConformanceSuiteWithSrvRecords) {
    Offers offers = Offers::none();
    offers.weights = true;
    for (const Behaviour& behaviour : behaviours(offers)) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
}

// (The largest metadata does not fit: a TXT record's strings are 255 bytes.)
TEST_F(RealNamedSd, PassesTheConformanceSuiteWithInstances) {
    Offers offers = Offers::none();
    offers.weights = offers.ids = offers.tags = true;
    for (const Behaviour& behaviour : behaviours(offers)) {
        SCOPED_TRACE(behaviour.name);
        behaviour.run(*this);
    }
    conformance::tags_and_metadata_come_back(*this);
}

TEST_F(RealNamed, ANotificationSignedByNamedBeatsTheTimeToLive) {
    ttl_ = "3600";
    config_.ttl_max = 1h;
    Conversation talk(*this, "hurried");
    ASSERT_TRUE(talk.add(talk.config(1001)));
    const Answer first = talk.until_size(1);
    PendingWait pending(talk, first.index, 60s);
    const std::uint64_t heard = backend_->notify()->stats().heard;
    ASSERT_TRUE(talk.add(talk.config(1002)));
    ASSERT_TRUE(pending.ends_within(20s));
    EXPECT_EQ(pending.answer().endpoints.size(), 2U);
    EXPECT_GT(backend_->notify()->stats().heard, heard);
    EXPECT_EQ(backend_->notify()->stats().refused, 0U);
}

TEST_F(RealNamed, AWrongKeyIsNotBelieved) {
    config_.notify.key_secret = "d3JvbmcgMDEyMzQ1Njc4OWFiY2RlZiB3cm9uZw==";
    ttl_ = "3600";
    config_.ttl_max = 1h;
    Conversation talk(*this, "unsure");
    ASSERT_TRUE(talk.add(talk.config(1001)));
    const Answer first = talk.until_size(1);
    ASSERT_TRUE(talk.add(talk.config(1002)));
    const Instant end = loop_->now() + 20s;
    while (backend_->notify()->stats().refused == 0 && loop_->now() < end) loop_->turn(end);
    EXPECT_GT(backend_->notify()->stats().refused, 0U);
    EXPECT_EQ(backend_->notify()->stats().heard, 0U);
}

TEST_F(RealNamed, ManyEndpointsComeByTcp) {
    Conversation talk(*this, "many");
    std::string commands;
    for (std::uint16_t i = 1; i <= 500; ++i) {
        const ServiceConfig config = talk.config(static_cast<std::uint16_t>(1'000 + i));
        if (i == 1) commands += host_line(config);
        commands += lines(config, "update add");
    }
    ASSERT_TRUE(talk.value(update(commands, talk.deadline())));
    EXPECT_EQ(talk.until_size(500).endpoints.size(), 500U);
    EXPECT_GT(backend_->stats().by_tcp, 0U);
}

TEST_F(RealNamed, AServerThatHangsIsAnErrorAndItIsBackWhenItIsBack) {
    Conversation talk(*this, "hanging");
    ASSERT_TRUE(talk.add(talk.config(1001)));
    talk.until_size(1);
    process_->freeze();
    const auto failed = talk.wait(0, 0s);
    process_->thaw();
    ASSERT_FALSE(failed);
    EXPECT_TRUE(failed.error().retryable);
    EXPECT_EQ(talk.until_size(1).endpoints.size(), 1U);
}

TEST_F(RealNamed, AZoneThatIsNotThereIsRefusedAndThatIsAnError) {
    config_.name = "{service}.example.com";
    Conversation talk(*this, "elsewhere");
    const auto failed = talk.wait(0, 0s);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().what, testing::HasSubstr("REFUSED"));
}

TEST_F(RealNamedSd, ListsItsServices) {
    const std::string list = "update add _services._dns-sd._udp.example.org. 60 PTR ";
    Conversation talk(*this, "x");
    const std::string commands =
        list + "_web._tcp.example.org.\n" + list + "_api._tcp.example.org.\n";
    ASSERT_TRUE(talk.value(update(commands, talk.deadline())));
    const auto services = talk.value(talk.backend().services(talk.deadline()));
    ASSERT_TRUE(services) << services.error().what;
    ASSERT_EQ(services->size(), 2U);
    EXPECT_EQ(services->at(0).name, "api");
    EXPECT_EQ(services->at(1).name, "web");
}

}  // namespace
}  // namespace datapunk::mesh::registry::dns
