#include "registry/file/file_backend.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "sim/run.h"
#include "sim/sim_file_watch.h"
#include "sim/sim_files.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::registry::file {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Lines final : public core::LogSink {
  public:
    void write(const core::LogRecord& record) override {
        core::append_logfmt(lines.emplace_back(), record);
    }

    std::vector<std::string> lines;
};

class FileBackendTest : public testing::Test {
  public:
    FileBackendTest() { make({.path = "/etc/mesh/services.yaml"}); }

    void make(FileConfig config) {
        auto files = std::make_unique<sim::SimFiles>();
        auto watch = std::make_unique<sim::SimFileWatch>(loop_);
        files_ = files.get();
        watch_ = watch.get();
        backend_ = *FileBackend::create(
            {.loop = loop_,
             .files = std::move(files),
             .watch = std::move(watch),
             .log = core::Logger(lines_, core::Level::info)},
            std::move(config)
        );
    }

    void write(const std::string& text, const std::string& path = "/etc/mesh/services.yaml") {
        ASSERT_TRUE(files_->write_atomic(path, text));
        watch_->touch();
    }

    Result<Answer> wait(std::uint64_t after, Duration longest = 60s, std::string service = "api") {
        const Instant deadline = loop_.now() + 1h;
        return *sim::run_on(
            loop_, backend_->wait(std::move(service), after, longest, deadline), 2h
        );
    }

    static std::vector<std::string> addresses(const Result<Answer>& answer) {
        std::vector<std::string> out;
        if (!answer) return {answer.error().what};
        for (const ServiceEndpoint& one : answer->endpoints) out.push_back(one.address());
        return out;
    }

    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
    sim::SimFiles* files_ = nullptr;
    sim::SimFileWatch* watch_ = nullptr;
    std::unique_ptr<FileBackend> backend_;
};

constexpr const char* kOne = "services: {api: [{host: 10.0.0.1, port: 80}]}";
constexpr const char* kTwo = "services: {api: [{host: 10.0.0.1, port: 80}, {host: b, port: 81}]}";

TEST_F(FileBackendTest, FollowsTheFile) {
    write(kOne);
    const auto one = wait(0);
    EXPECT_THAT(addresses(one), ElementsAre("10.0.0.1:80"));
    write(kTwo);
    const Instant start = loop_.now();
    const auto two = wait(one->index);
    EXPECT_THAT(addresses(two), ElementsAre("10.0.0.1:80", "b:81"));
    EXPECT_GT(two->index, one->index);
    EXPECT_LE(loop_.now() - start, 150ms);
    EXPECT_FALSE(backend_->capabilities().can_register);
}

TEST_F(FileBackendTest, KeepsTheLastGoodOneWhenTheNewOneIsBad) {
    write(kOne);
    const auto one = wait(0);
    write("services: {api: [{host: 10.0.0.1, prot: 80}]}");
    const auto still = wait(one->index, 5s);
    EXPECT_THAT(addresses(still), ElementsAre("10.0.0.1:80"));
    EXPECT_EQ(still->index, one->index);
    ASSERT_TRUE(backend_->problem());
    EXPECT_THAT(
        backend_->problem()->what,
        HasSubstr(
            "/etc/mesh/services.yaml:1: services.api[0].prot: unknown key, did you mean \"port\""
        )
    );
    ASSERT_EQ(lines_->lines.size(), 1U);
    EXPECT_THAT(lines_->lines[0], HasSubstr("keeping what it said before"));
    loop_.run_for(5min);
    EXPECT_EQ(lines_->lines.size(), 1U) << "once, not at every look";
    write(kTwo);
    EXPECT_EQ(addresses(wait(one->index)).size(), 2U);
    EXPECT_FALSE(backend_->problem());
    EXPECT_THAT(lines_->lines.back(), HasSubstr("good again"));
}

TEST_F(FileBackendTest, KeepsTheLastGoodOneWhenTheFileIsGoneOrCannotBeRead) {
    write(kOne);
    const auto one = wait(0);
    ASSERT_TRUE(files_->remove("/etc/mesh/services.yaml"));
    watch_->touch();
    EXPECT_THAT(addresses(wait(one->index, 5s)), ElementsAre("10.0.0.1:80"));
    ASSERT_TRUE(backend_->problem());
    write(kOne);
    loop_.run_for(1s);
    EXPECT_FALSE(backend_->problem()) << "the same text is good again";
    files_->fail_reads(EIO);
    watch_->touch();
    EXPECT_THAT(addresses(wait(0, 5s)), ElementsAre("10.0.0.1:80"));
}

TEST_F(FileBackendTest, UntilThereWasAGoodOneSaysWhatIsWrong) {
    const auto nothing = wait(0);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().code, Code::not_found);
    EXPECT_EQ(nothing.error().source, Source::registry);
    EXPECT_TRUE(nothing.error().retryable);
    write("services: [");
    loop_.run_for(1s);
    EXPECT_THAT(wait(0).error().what, HasSubstr("not YAML"));
    EXPECT_FALSE(*sim::run_on(loop_, backend_->services(loop_.now())));
    write(kOne);
    loop_.run_for(1s);
    EXPECT_THAT(addresses(wait(0)), ElementsAre("10.0.0.1:80"));
}

TEST_F(FileBackendTest, WaitsUntilAWriterIsDone) {
    write(kTwo);
    const auto before = wait(0);
    // Written in place, in three pieces: the first two are good YAML that says less.
    write("services: {}");
    loop_.run_for(60ms);
    write(kOne);
    loop_.run_for(60ms);
    write("services: {api: [{host: c, port: 80}]}");
    EXPECT_THAT(addresses(wait(before->index)), ElementsAre("c:80"));
    EXPECT_EQ(wait(0)->index, before->index + 1);
}

TEST_F(FileBackendTest, LooksByItselfWhenNoChangeIsTold) {
    write(kOne);
    watch_->refused = Error{.code = Code::exhausted, .what = "no watches left"};
    const auto one = wait(0);
    ASSERT_TRUE(files_->write_atomic("/etc/mesh/services.yaml", kTwo));
    const Instant start = loop_.now();
    EXPECT_EQ(addresses(wait(one->index)).size(), 2U);
    EXPECT_LE(loop_.now() - start, 11s);
    EXPECT_THAT(lines_->lines, ElementsAre(HasSubstr("no watches left")));
}

TEST_F(FileBackendTest, ADirectoryIsOneRegistry) {
    make({.path = "/etc/mesh"});
    write(kOne, "/etc/mesh/b.yaml");
    write(R"({"services": {"api": [{"host": "a", "port": 1}], "web": []}})", "/etc/mesh/a.json");
    write("nonsense", "/etc/mesh/README");
    write("nonsense: [", "/etc/mesh/.a.yaml.swp.yaml");
    EXPECT_THAT(addresses(wait(0)), ElementsAre("10.0.0.1:80", "a:1"));
    write(kOne, "/etc/mesh/c.yml");
    loop_.run_for(1s);
    ASSERT_TRUE(backend_->problem());
    EXPECT_THAT(
        backend_->problem()->what,
        HasSubstr("/etc/mesh/c.yml:1: services.api[0]: the id \"api-10.0.0.1-80\" is at "
                  "/etc/mesh/b.yaml:1 already")
    );
}

TEST_F(FileBackendTest, AServiceThatIsTakenOutAndPutBackIsAChangeEachTime) {
    write(kOne);
    const auto one = wait(0);
    write("services: {web: [{host: w, port: 1}]}");
    const auto none = wait(one->index);
    EXPECT_THAT(addresses(none), IsEmpty());
    EXPECT_GT(none->index, one->index);
    write(kOne);
    const auto again = wait(none->index);
    EXPECT_GT(again->index, none->index);
    const auto summary = *sim::run_on(loop_, backend_->services(loop_.now()));
    ASSERT_EQ(summary->size(), 1U);
    EXPECT_EQ(summary->at(0).name, "api");
}

TEST(FileConfig, IsChecked) {
    EXPECT_TRUE(check({.path = "/a"}));
    EXPECT_FALSE(check({}));
    EXPECT_FALSE(check({.path = "/a\n"}));
    EXPECT_FALSE(check({.path = "/a", .settle = 11s}));
    EXPECT_FALSE(check({.path = "/a", .poll = 999ms}));
    EXPECT_FALSE(check({.path = "/a", .endpoints_max = 0}));
}

std::string refused(const std::string& text, const std::string& name = "a.yaml") {
    const auto parsed = parse_services_files({{name, text}}, 3);
    return parsed ? "" : parsed.error().what;
}

TEST(ServicesFile, ReadsEveryField) {
    const auto parsed = parse_services_files(
        {{"a.yaml",
          "services:\n  api:\n    - host: 10.0.0.1\n      port: 8080\n      id: one\n"
          "      weight: 7\n      tags: [v1, yes]\n      meta: {zone: 010}\n  web:\n"}},
        3
    );
    ASSERT_TRUE(parsed) << parsed.error().what;
    ASSERT_EQ(parsed->size(), 1U);
    const ServiceEndpoint& one = parsed->at(0);
    EXPECT_EQ(one.id, "one");
    EXPECT_EQ(one.service, "api");
    EXPECT_EQ(one.address(), "10.0.0.1:8080");
    EXPECT_EQ(one.weight, 7U);
    EXPECT_THAT(one.tags, ElementsAre("v1", "yes"));
    EXPECT_EQ(one.metadata.at("zone"), "010");
    EXPECT_EQ(one.health, Health::passing);
}

TEST(ServicesFile, SaysWhatIsWrongAndWhere) {
    EXPECT_EQ(refused(""), "");
    EXPECT_EQ(refused("services:\n"), "");
    EXPECT_THAT(refused("servces: {}"), HasSubstr("a.yaml:1: servces: unknown key"));
    EXPECT_THAT(refused("[]"), HasSubstr("must be a map, is a list"));
    EXPECT_THAT(refused("services: {Api: []}"), HasSubstr("services.Api: service name"));
    EXPECT_THAT(
        refused("services: {api: {}}"), HasSubstr("services.api: must be a list, is a map")
    );
    EXPECT_THAT(
        refused("services:\n  api:\n  - {port: 80}\n"), HasSubstr("a.yaml:3: services.api[0]: ")
    );
    for (const char* port : {"0", "65536", "-1", "080", "http", "''", "[]", "~"}) {
        EXPECT_THAT(
            refused(std::string("services: {api: [{host: a, port: ") + port + "}]}"),
            HasSubstr("services.api[0].port: must be")
        ) << port;
    }
    EXPECT_THAT(
        refused("services: {api: [{host: a, port: 1, tags: v1}]}"), HasSubstr("must be a list")
    );
    EXPECT_THAT(
        refused("services: {api: [{host: a, port: 1, meta: {a: [1]}}]}"),
        HasSubstr("must be a value")
    );
    EXPECT_THAT(refused(R"({"services": {"api": [{"host": "a"}]}})", "a.json"), HasSubstr("port"));
    EXPECT_THAT(refused("a: 1\nb: 1\nc: 1\nd: 1\ne: 1\n"), HasSubstr("a.yaml:3: c: "));
    EXPECT_THAT(refused("a: 1\nb: 1\nc: 1\nd: 1\ne: 1\n"), HasSubstr("; and 2 more"));
}

TEST(ServicesFile, HasALimit) {
    const auto list = [](int count) {
        std::string text = "services:\n  api:\n";
        for (int i = 1; i <= count; ++i) {
            text += "  - {host: a, port: " + std::to_string(i) + "}\n";
        }
        return text;
    };
    EXPECT_EQ(refused(list(3)), "");
    EXPECT_THAT(refused(list(5)), HasSubstr("a.yaml:6: services.api[3]: more than 3 endpoints"));
}

}  // namespace
}  // namespace datapunk::mesh::registry::file
