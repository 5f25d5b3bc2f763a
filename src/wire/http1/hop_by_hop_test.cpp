#include "wire/http1/hop_by_hop.h"

#include <gmock/gmock.h>

namespace datapunk::mesh::wire::http1 {
namespace {

std::vector<Field> fields_of(
    std::initializer_list<std::pair<std::string_view, std::string_view>> pairs
) {
    std::vector<Field> fields;
    for (const auto& [name, value] : pairs) fields.push_back({name, value, header_of(name)});
    return fields;
}

TEST(HopByHop, DropsTheFixedOnesAndKeepsTheRest) {
    for (const std::string_view name :
         {"Connection",
          "Keep-Alive",
          "TE",
          "Proxy-Connection",
          "Proxy-Authorization",
          "Transfer-Encoding",
          "Upgrade"})
        EXPECT_TRUE(is_hop_by_hop(header_of(name))) << name;
    for (const std::string_view name : {"Host", "Trailer", "Content-Length", "Cookie", "X-Own"})
        EXPECT_FALSE(is_hop_by_hop(header_of(name))) << name;
}

TEST(HopByHop, DropsUnknownFieldsThatConnectionLists) {
    const auto fields =
        fields_of({{"Connection", "close, X-Hop"}, {"x-hop", "1"}, {"connection", "X-Two"}});
    EXPECT_TRUE(nominated_by_connection(fields, "x-HOP"));
    EXPECT_TRUE(nominated_by_connection(fields, "x-two"));
    EXPECT_FALSE(nominated_by_connection(fields, "x-other"));
    EXPECT_FALSE(nominated_by_connection(fields, "x-ho"));
}

TEST(HopByHop, DoesNotLetConnectionTakeKnownFieldsAway) {
    const auto fields = fields_of(
        {{"Connection",
          "x-forwarded-for, x-forwarded-proto, host, content-length, traceparent, authorization, "
          "cookie, x-request-id, cache-control, te"}}
    );
    for (const std::string_view name :
         {"X-Forwarded-For",
          "X-Forwarded-Proto",
          "Host",
          "Content-Length",
          "traceparent",
          "Authorization",
          "Cookie",
          "X-Request-Id",
          "Cache-Control"})
        EXPECT_FALSE(nominated_by_connection(fields, name)) << name;
    EXPECT_TRUE(nominated_by_connection(fields, "TE"));
}

TEST(HopByHop, SeesWhoAcceptsTrailers) {
    EXPECT_TRUE(accepts_trailers(fields_of({{"TE", "deflate;q=0.5, Trailers"}})));
    EXPECT_FALSE(accepts_trailers(fields_of({{"TE", "gzip"}})));
    EXPECT_FALSE(accepts_trailers({}));
}

}  // namespace
}  // namespace datapunk::mesh::wire::http1
