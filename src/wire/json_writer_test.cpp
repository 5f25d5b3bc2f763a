#include "wire/json_writer.h"

#include <gmock/gmock.h>

#include <limits>
#include <string>

namespace datapunk::mesh::wire {
namespace {

std::string written(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

void write_sample(JsonWriter& json) {
    json.begin_object().key("ID").string("web-1").key("Port").number(8080);
    json.key("Tags").begin_array().string("a").string("b").end_array();
    json.key("Meta").begin_object().end_object().key("None").begin_array().end_array();
    json.key("Check").begin_object().key("Ok").boolean(true).key("Note").null().end_object();
    json.end_object();
}

TEST(JsonWriter, WritesCompactly) {
    std::string out;
    JsonWriter json(out);
    EXPECT_FALSE(json.is_complete());
    write_sample(json);
    EXPECT_TRUE(json.is_complete());
    EXPECT_EQ(
        out,
        R"({"ID":"web-1","Port":8080,"Tags":["a","b"],"Meta":{},"None":[],"Check":{"Ok":true,"Note":null}})"
    );
}

TEST(JsonWriter, WritesPrettyAsConsulDoes) {
    std::string out;
    JsonWriter json(out, true);
    write_sample(json);
    EXPECT_EQ(out, R"({
    "ID": "web-1",
    "Port": 8080,
    "Tags": [
        "a",
        "b"
    ],
    "Meta": {},
    "None": [],
    "Check": {
        "Ok": true,
        "Note": null
    }
})");
}

TEST(JsonWriter, WritesNumbersExactly) {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    json.number(std::numeric_limits<std::int64_t>::min());
    json.number(std::numeric_limits<std::uint64_t>::max());
    json.number(0.1).number(1e300).number(-0.5).number(3.0);
    json.number(std::numeric_limits<double>::quiet_NaN());
    json.number(-std::numeric_limits<double>::infinity());
    json.raw("{\"a\":1}").end_array();
    EXPECT_EQ(
        out, "[-9223372036854775808,18446744073709551615,0.1,1e+300,-0.5,3,null,null,{\"a\":1}]"
    );
}

TEST(JsonWriter, EscapesStrings) {
    EXPECT_EQ(written("plain \xc3\xa9 \xf0\x9f\x98\x80"), "\"plain \xc3\xa9 \xf0\x9f\x98\x80\"");
    EXPECT_EQ(written("a\"b\\c\n\r\t"), R"("a\"b\\c\n\r\t")");
    EXPECT_EQ(written(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\x7f\"");
    EXPECT_EQ(written("<a&b>"), R"("\u003ca\u0026b\u003e")");
    EXPECT_EQ(written("\xe2\x80\xa8\xe2\x80\xa9"), R"("\u2028\u2029")");
    EXPECT_EQ(written(""), "\"\"");
}

TEST(JsonWriter, ReplacesWhatIsNotUtf8) {
    EXPECT_EQ(written("\x80"), R"("\ufffd")");
    EXPECT_EQ(written("a\xc3"), R"("a\ufffd")");
    EXPECT_EQ(written("\xc3("), R"("\ufffd(")");
    EXPECT_EQ(written("\xc0\xaf"), R"("\ufffd\ufffd")");                      // overlong '/'
    EXPECT_EQ(written("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");            // a surrogate
    EXPECT_EQ(written("\xf4\x90\x80\x80"), R"("\ufffd\ufffd\ufffd\ufffd")");  // above U+10FFFF
    EXPECT_EQ(written("\xe0\x9f\xbf"), R"("\ufffd\ufffd\ufffd")");
    EXPECT_EQ(written("\xf0\x9f\x98"), R"("\ufffd\ufffd\ufffd")");
    EXPECT_EQ(written("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"");
}

TEST(JsonWriterDeathTest, AssertsThatEveryValueHasItsPlace) {
    std::string out;
    EXPECT_DEATH(JsonWriter(out).begin_object().number(1), "");
    EXPECT_DEATH(JsonWriter(out).begin_array().key("a"), "");
    EXPECT_DEATH(JsonWriter(out).begin_array().end_object(), "");
    EXPECT_DEATH(JsonWriter(out).begin_object().key("a").end_object(), "");
    EXPECT_DEATH(JsonWriter(out).number(1).number(2), "");
}

}  // namespace
}  // namespace datapunk::mesh::wire
