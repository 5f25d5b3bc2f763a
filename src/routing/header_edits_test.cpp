#include "routing/header_edits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace datapunk::mesh::routing {
namespace {

using testing::ElementsAre;
using wire::http1::Field;
using wire::http1::Header;

std::vector<std::string> edited(const HeaderEdits& edits, std::vector<Field> fields) {
    apply(edits, fields);
    std::vector<std::string> lines;
    for (const Field& field : fields)
        lines.push_back(std::string(field.name) + "=" + std::string(field.value));
    return lines;
}

TEST(HeaderEdits, RemoveThenSetThenAdd) {
    const HeaderEdits edits{
        .remove = {"X-Gone"}, .set = {{"x-set", "1"}}, .add = {{"x-gone", "back"}, {"x-kept", "2"}}
    };
    EXPECT_THAT(
        edited(
            edits,
            {{"x-GONE", "a"}, {"x-kept", "1"}, {"X-Set", "a"}, {"x-set", "b"}, {"x-gone", "b"}}
        ),
        ElementsAre("x-kept=1", "x-set=1", "x-gone=back", "x-kept=2")
    );
}

TEST(HeaderEdits, WhatTheSenderNominatesEndsBeforeAndNotWhatIsPutIn) {
    const HeaderEdits edits{.set = {{"x-team", "a"}}};
    EXPECT_THAT(
        edited(
            edits,
            {{"Connection", "x-team, x-hop, cookie", Header::connection},
             {"X-Hop", "1"},
             {"x-kept", "1"},
             {"Cookie", "1", Header::cookie},
             {"x-team", "b"}}
        ),
        ElementsAre("x-kept=1", "Cookie=1", "x-team=a")
    );
    EXPECT_THAT(
        edited({}, {{"Connection", "x-hop", Header::connection}, {"x-hop", "1"}}),
        ElementsAre("Connection=x-hop", "x-hop=1")
    ) << "nothing to do";
}

TEST(HeaderEdits, WhatIsPutInIsKnownByItsName) {
    std::vector<Field> fields;
    apply({.set = {{"Cookie", "a=b"}}}, fields);
    ASSERT_EQ(fields.size(), 1U);
    EXPECT_EQ(fields[0].id, wire::http1::Header::cookie);
}

TEST(HeaderEdits, WhatFramesOrEndsAtThisHopIsProtectedInAnySpelling) {
    for (const std::string_view name :
         {"Content-Length",
          "transfer-encoding",
          "Transfer_Encoding",
          "CONNECTION",
          "keep-alive",
          "te",
          "upgrade",
          "trailer",
          "host",
          "expect",
          "via",
          "x-forwarded-for",
          "X_Forwarded_Client-Cert",
          "x-mesh-reason",
          "X-Mesh-Anything",
          "grpc-status",
          "proxy-connection",
          "traceparent"}) {
        EXPECT_TRUE(is_protected_field(name)) << name;
    }
    for (const std::string_view name :
         {"x-mesh", "cookie", "authorization", "x-forwarded-proto", "server"}) {
        EXPECT_FALSE(is_protected_field(name)) << name;
    }
}

}  // namespace
}  // namespace datapunk::mesh::routing
