#include "wire/resp/reply_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>

namespace datapunk::mesh::wire::resp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RespValue text(std::string_view value) {
    return {.type = RespType::text, .text = std::string(value)};
}

RespValue integer(std::int64_t value) {
    return {.type = RespType::integer, .integer = value};
}

RespValue error(std::string_view value) {
    return {.type = RespType::error, .text = std::string(value)};
}

RespValue aggregate(RespType type, std::vector<RespValue> items) {
    return {.type = type, .items = std::move(items)};
}

std::vector<RespValue> values(std::string_view bytes, std::size_t step = SIZE_MAX) {
    ReplyReader reader;
    std::vector<RespValue> out;
    for (std::size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size())) {
        reader.feed(bytes.substr(at, step));
        while (reader.next()) out.push_back(reader.take());
    }
    EXPECT_FALSE(reader.problem()) << reader.problem()->what;
    EXPECT_TRUE(reader.is_between_values());
    return out;
}

std::string problem_of(std::string_view bytes, const ReplyLimits& limits = {}) {
    ReplyReader reader(limits);
    reader.feed(bytes);
    while (reader.next()) (void)reader.take();
    return reader.problem() ? reader.problem()->what : "none";
}

TEST(RespReader, ReadsWhatRedisSends) {
    EXPECT_THAT(values("+OK\r\n"), ElementsAre(text("OK")));
    EXPECT_THAT(
        values("-WRONGTYPE Operation against a key\r\n"),
        ElementsAre(error("WRONGTYPE Operation against a key"))
    );
    EXPECT_EQ(error("WRONGTYPE Operation against a key").error_code(), "WRONGTYPE");
    EXPECT_EQ(error("LOADING").error_code(), "LOADING");
    EXPECT_THAT(
        values(":0\r\n:-9223372036854775808\r\n:+7\r\n"),
        ElementsAre(integer(0), integer(INT64_MIN), integer(7))
    );
    EXPECT_THAT(values("$5\r\na\r\nb!\r\n$0\r\n\r\n"), ElementsAre(text("a\r\nb!"), text("")));
    EXPECT_THAT(values("$-1\r\n*-1\r\n_\r\n"), ElementsAre(RespValue{}, RespValue{}, RespValue{}));
    EXPECT_THAT(
        values("*3\r\n$7\r\nmessage\r\n:1\r\n*0\r\n"),
        ElementsAre(aggregate(
            RespType::array, {text("message"), integer(1), aggregate(RespType::array, {})}
        ))
    );
}

TEST(RespReader, ReadsTheThirdVersion) {
    EXPECT_THAT(
        values("%1\r\n+a\r\n#t\r\n~1\r\n#f\r\n>1\r\n+m\r\n"),
        ElementsAre(
            aggregate(RespType::map, {text("a"), {.type = RespType::boolean, .integer = 1}}),
            aggregate(RespType::array, {{.type = RespType::boolean}}),
            aggregate(RespType::push, {text("m")})
        )
    );
    EXPECT_THAT(
        values(",1.5\r\n,-inf\r\n(123456789012345678901234567890\r\n"),
        ElementsAre(
            RespValue{.type = RespType::real, .real = 1.5},
            RespValue{.type = RespType::real, .real = -INFINITY},
            text("123456789012345678901234567890")
        )
    );
    EXPECT_THAT(
        values("!9\r\nERR it is\r\n=7\r\ntxt:abc\r\n"), ElementsAre(error("ERR it is"), text("abc"))
    );
}

TEST(RespReader, DropsAttributes) {
    EXPECT_THAT(
        values("|1\r\n+ttl\r\n:3600\r\n*2\r\n|1\r\n+x\r\n*1\r\n:1\r\n:1\r\n|0\r\n:2\r\n"),
        ElementsAre(aggregate(RespType::array, {integer(1), integer(2)}))
    );
}

TEST(RespReader, TheSameHoweverTheBytesArrive) {
    const std::string bytes =
        "*2\r\n$4\r\n\r\n\r\n\r\n:12\r\n-ERR no\r\n%1\r\n+k\r\n~2\r\n:1\r\n,2.25\r\n+OK\r\n";
    const auto whole = values(bytes);
    EXPECT_EQ(whole.size(), 4U);
    for (std::size_t step = 1; step < bytes.size(); ++step) EXPECT_EQ(values(bytes, step), whole);
}

TEST(RespReader, AValueThatIsHalfThereIsNoValue) {
    ReplyReader reader;
    reader.feed("*2\r\n$3\r\nabc\r");
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.is_between_values());
    reader.feed("\n");
    EXPECT_FALSE(reader.next());
    reader.feed(":1\r\n");
    EXPECT_TRUE(reader.next());
}

TEST(RespReader, RefusesWhatMakesNoSense) {
    for (const char* bytes : {"\r\n",     "hello\r\n", "HTTP/1.1 200 OK\r\n",
                              ":\r\n",    ":1x\r\n",   ":99999999999999999999\r\n",
                              "$x\r\n",   "$-2\r\n",   "$3\r\nabcd\r\n",
                              "*-2\r\n",  "%-1\r\n",   "#x\r\n",
                              "_x\r\n",   ",\r\n",     ",abc\r\n",
                              "(12a\r\n", "(\r\n",     "=3\r\nabc\r\n",
                              "!-1\r\n",  "$?\r\n"}) {
        EXPECT_THAT(problem_of(bytes), HasSubstr("makes no sense")) << bytes;
    }
}

TEST(RespReader, NeverGoesOnAfterAProblem) {
    ReplyReader reader;
    reader.feed("?\r\n");
    EXPECT_FALSE(reader.next());
    reader.feed("+OK\r\n");
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.problem());
}

TEST(RespReader, EveryLimitHolds) {
    const ReplyLimits limits{
        .bytes_max = 100, .items_max = 4, .depth_max = 2, .line_bytes_max = 20
    };
    EXPECT_EQ(problem_of("$90\r\n", limits), "none");
    EXPECT_THAT(problem_of("$98\r\n", limits), HasSubstr("more than 100 bytes"));
    EXPECT_THAT(problem_of("$9223372036854775807\r\n", limits), HasSubstr("more than 100 bytes"));
    EXPECT_EQ(problem_of("*4\r\n", limits), "none");
    EXPECT_THAT(problem_of("*5\r\n", limits), HasSubstr("too many items"));
    EXPECT_THAT(problem_of("%3\r\n", limits), HasSubstr("too many items"));
    EXPECT_THAT(problem_of("%9223372036854775807\r\n", limits), HasSubstr("too many items"));
    EXPECT_THAT(problem_of("*2\r\n*2\r\n*1\r\n", limits), HasSubstr("too many items"));
    EXPECT_EQ(problem_of("*1\r\n*1\r\n", limits), "none");
    EXPECT_THAT(problem_of("*1\r\n*1\r\n*1\r\n", limits), HasSubstr("nested too deeply"));
    EXPECT_EQ(problem_of("+" + std::string(19, 'x') + "\r\n", limits), "none");
    EXPECT_THAT(problem_of("+" + std::string(20, 'x') + "\r\n", limits), HasSubstr("too long"));
    EXPECT_THAT(problem_of("+" + std::string(21, 'x'), limits), HasSubstr("no end"));
    const std::string two = "$60\r\n" + std::string(60, 'x') + "\r\n";
    EXPECT_EQ(problem_of(two + two, limits), "none");  // of one value, not of all
    EXPECT_THAT(problem_of("*2\r\n" + two + two, limits), HasSubstr("more than 100 bytes"));
}

TEST(RespReader, CommandsAreBinarySafe) {
    std::string out;
    append_command(out, {"SET", std::string("a\0\r\n", 4), ""});
    EXPECT_EQ(out, std::string("*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n", 29));
}

TEST(RespReader, WhatIsWrittenReadsTheSame) {
    const RespValue value = aggregate(
        RespType::map,
        {text("k"),
         aggregate(RespType::array, {integer(-1), error("ERR x"), RespValue{}}),
         text("r"),
         {.type = RespType::real, .real = 0.1}}
    );
    std::string third;
    append_value(third, value, true);
    EXPECT_THAT(values(third), ElementsAre(value));
    std::string second;
    append_value(second, value, false);
    ASSERT_EQ(values(second).size(), 1U);
    EXPECT_EQ(values(second)[0].items.size(), 4U);
    EXPECT_EQ(values(second)[0].items[3], text("0.1"));
    std::string line;
    append_value(line, error("ERR two\r\nlines"), false);
    EXPECT_EQ(line, "-ERR two  lines\r\n");
}

TEST(RespReader, ALineOfFullLengthIsReadHoweverItComes) {
    const ReplyLimits limits{.line_bytes_max = 20};
    const std::string full = "+" + std::string(19, 'x');
    for (const std::string& line : {full, full + "x"}) {
        for (const std::size_t step : {std::size_t{1}, std::size_t{100}}) {
            ReplyReader reader(limits);
            const std::string bytes = line + "\r\n";
            bool is_read = false;
            for (std::size_t at = 0; at < bytes.size(); at += step) {
                reader.feed(std::string_view(bytes).substr(at, step));
                is_read = is_read || reader.next();
            }
            EXPECT_EQ(is_read, line == full) << step;
            EXPECT_EQ(reader.problem().has_value(), line != full) << step;
        }
    }
}

// A lone CR or LF is no line's end to Redis, and so it may stand in an error.
TEST(RespReader, AnErrorOfSeveralLinesIsWrittenAsABlob) {
    for (const char* text : {"\n~", "ERR two\r\nlines", "\r"}) {
        std::string out;
        append_value(out, error(text), true);
        EXPECT_THAT(values(out), ElementsAre(error(text)));
    }
    EXPECT_THAT(values("-\n~\r\n"), ElementsAre(error("\n~")));
}

}  // namespace
}  // namespace datapunk::mesh::wire::resp
