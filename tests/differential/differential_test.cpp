// Our HTTP/1 parsers beside llhttp and Boost.Beast: on the corpus of malformed and odd messages,
// and on what a seed makes of it. SEED= and MESSAGES= in the environment try others and more.

#include <gmock/gmock.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "comparison.h"
#include "mutation.h"

namespace datapunk::mesh::differential {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::uint64_t environment(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

const std::vector<Sample>& corpus() {
    static const std::vector<Sample> kCorpus = load_corpus(MESH_CORPUS);
    return kCorpus;
}

TEST(Differential, TheCorpusIsReadAsOthersReadItOrDeliberatelyNot) {
    ASSERT_GT(corpus().size(), 250U);
    for (const Sample& sample : corpus())
        EXPECT_THAT(compare(sample.kind, sample.bytes).finding, IsEmpty()) << escaped(sample.bytes);
}

TEST(Differential, SoIsWhatASeedMakesOfIt) {
    const std::uint64_t seed = environment("SEED", 1);
    core::Rng rng(seed);
    for (auto left = environment("MESSAGES", 20'000); left > 0; --left) {
        const Sample sample = mutated(corpus(), rng);
        const Judgement judged = compare(sample.kind, sample.bytes);
        ASSERT_THAT(judged.finding, IsEmpty()) << "SEED=" << seed << ' ' << escaped(sample.bytes);
    }
}

// An excuse that no message needs could cover another difference.
TEST(Differential, EachDeliberateDifferenceIsOne) {
    for (const Stricter& one : stricter()) {
        if (one.example.empty()) continue;  // a limit
        const Judgement judged = compare(kind_of(one.example), one.example);
        EXPECT_EQ(judged.stricter, &one) << one.reason << ' ' << judged.finding;
    }
    for (const Narrower& one : narrower()) {
        const Judgement judged = compare(kind_of(one.example), one.example);
        EXPECT_EQ(judged.narrower[static_cast<int>(one.who)], &one)
            << one.word << ' ' << judged.finding;
    }
}

TEST(Differential, LimitsAreOurs) {
    const std::string line = "GET / HTTP/1.1\r\n";
    const std::string host = "Host: a\r\n";
    std::string fields;
    for (int i = 0; i < 101; ++i) fields += "X: y\r\n";
    const std::string chunked =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + host + "\r\n0\r\n";
    const auto field = [](std::size_t bytes) { return "X: " + std::string(bytes, 'y') + "\r\n"; };
    const std::vector<std::pair<std::string, std::string>> over = {
        {"head_too_large", line + host + field(61UL * 1024) + "\r\n"},
        {"target_too_long", "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n" + host + "\r\n"},
        {"too_many_fields", line + host + fields + "\r\n"},
        {"trailer_too_large", chunked + field(9000) + "\r\n"},
    };
    for (const auto& [reason, bytes] : over) {
        const Judgement judged = compare(Kind::request, bytes);
        ASSERT_NE(judged.stricter, nullptr) << reason << ' ' << judged.finding;
        EXPECT_EQ(judged.stricter->reason, reason);
    }
    const Reading within = read_ours(Kind::request, chunked + field(7000) + "\r\n");
    EXPECT_EQ(within.verdict, Reading::Verdict::whole);
}

TEST(Differential, AllThreeReadWhatIsOrdinary) {
    constexpr std::string_view kRequest =
        "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: \t y \r\n\r\n"
        "3\r\nabc\r\n0\r\nZ: t\r\n\r\nGET /next";
    for (const auto& read : {read_ours, read_llhttp, read_beast}) {
        const Reading got = read(Kind::request, kRequest);
        EXPECT_EQ(got.verdict, Reading::Verdict::whole);
        EXPECT_EQ(got.bytes, kRequest.size() - 9);
        EXPECT_EQ(got.body, "abc");
        EXPECT_EQ(got.method + ' ' + got.target, "POST /a?b");
        EXPECT_EQ(by_name(got.fields).at("x"), std::vector<std::string>{"y"});
        EXPECT_EQ(by_name(got.fields).at("z"), std::vector<std::string>{"t"});
        EXPECT_EQ(
            read(Kind::request, kRequest.substr(0, kRequest.size() - 11)).verdict,
            Reading::Verdict::unfinished
        );
        EXPECT_EQ(
            read(Kind::request, "GET / HTTP/1.1\r\nA@: b\r\n\r\n").verdict,
            Reading::Verdict::refused
        );
        EXPECT_EQ(
            read(Kind::response, "HTTP/1.1 200 OK\r\n\r\nuntil the end").body, "until the end"
        );
    }
}

Reading whole(std::size_t bytes) {
    Reading out;
    out.verdict = Reading::Verdict::whole;
    out.bytes = bytes;
    out.method = "GET";
    return out;
}

Reading refused(std::string why) {
    Reading out;
    out.why = std::move(why);
    return out;
}

// The judge must be able to condemn.
TEST(Differential, AnotherBoundaryBodyOrFieldIsAFinding) {
    const Reading ours = whole(30);
    EXPECT_THAT(judge(ours, ours, ours, "").finding, IsEmpty());
    EXPECT_THAT(
        judge(ours, whole(25), ours, "").finding, HasSubstr("llhttp: 30 bytes to us and 25")
    );
    EXPECT_THAT(judge(ours, ours, whole(31), "").finding, HasSubstr("Boost.Beast: 30 bytes"));
    Reading other = ours;
    other.body = "x";
    EXPECT_THAT(judge(ours, other, ours, "").finding, HasSubstr("body"));
    other = ours;
    other.fields.emplace_back("X", "y");
    EXPECT_THAT(judge(ours, other, ours, "").finding, HasSubstr("fields"));
    Reading unfinished;
    unfinished.verdict = Reading::Verdict::unfinished;
    EXPECT_THAT(judge(ours, ours, unfinished, "").finding, HasSubstr("unfinished"));
    EXPECT_THAT(
        judge(unfinished, ours, ours, "").finding, HasSubstr("ours takes it for unfinished")
    );
}

TEST(Differential, SoIsARefusalWithoutAReasonInTheLists) {
    const Reading ours = whole(30);
    EXPECT_THAT(judge(ours, refused("HPE_INVALID_METHOD"), ours, "").finding, HasSubstr("refuses"));
    EXPECT_THAT(
        judge(ours, ours, refused("bad method"), "GET / HTTP/1.1").finding, HasSubstr("refuses")
    );
    EXPECT_THAT(judge(ours, ours, refused("bad method"), "\r\nGET").finding, IsEmpty());
    EXPECT_THAT(judge(refused("too_many_fields"), ours, ours, "").finding, HasSubstr("takes it"));
    EXPECT_THAT(judge(refused("obs_fold"), ours, ours, "").finding, IsEmpty());
    EXPECT_THAT(judge(refused("x"), refused("y"), refused("z"), "").finding, IsEmpty());
}

}  // namespace
}  // namespace datapunk::mesh::differential
