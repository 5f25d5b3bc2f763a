#include "routing/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace datapunk::mesh::routing {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using wire::http1::Field;
using wire::http1::Header;
using wire::http1::Method;

std::vector<std::string> lines(const std::vector<Field>& fields) {
    std::vector<std::string> out;
    for (const Field& field : fields)
        out.push_back(std::string(field.name) + ": " + std::string(field.value));
    return out;
}

std::vector<std::string> answer(const CorsPolicy& policy, std::string_view origin) {
    const CorsRules rules(policy);
    const std::vector<Field> request = {{"Origin", origin, Header::origin}};
    std::vector<Field> out;
    rules.add_to_answer(rules.allowed_origin(request), out);
    return lines(out);
}

wire::http1::RequestHead question(std::string_view method, std::string_view headers) {
    wire::http1::RequestHead head;
    head.method = Method::options;
    head.fields = {
        {"Origin", "https://a.example", Header::origin}, {"Access-Control-Request-Method", method}
    };
    if (!headers.empty()) head.fields.push_back({"access-control-request-headers", headers});
    return head;
}

std::vector<std::string> preflight(
    const CorsPolicy& policy, const wire::http1::RequestHead& request
) {
    const CorsRules rules(policy);
    std::vector<Field> out;
    rules.add_to_preflight(request, rules.allowed_origin(request.fields), out);
    return lines(out);
}

TEST(Cors, NamesTheOriginThatMayReadAndSaysThatItDepends) {
    const CorsPolicy policy{
        .allow_origins = {"https://a.example"},
        .allow_origin_regex = {"https://[a-z]+\\.b\\.example"},
        .expose_headers = {"x-a", "x-b"}
    };
    EXPECT_THAT(
        answer(policy, "https://a.example"),
        ElementsAre(
            "access-control-allow-origin: https://a.example",
            "vary: Origin",
            "access-control-expose-headers: x-a, x-b"
        )
    );
    EXPECT_THAT(answer(policy, "https://x.b.example"), testing::SizeIs(3));
    for (const std::string_view other :
         {"https://a.example.evil",
          "https://A.example",
          "http://a.example",
          "https://x.b.example.evil",
          "https://b.example",
          "null",
          ""}) {
        EXPECT_THAT(answer(policy, other), ElementsAre("vary: Origin")) << other;
    }
}

TEST(Cors, AStarIsEnoughForAllButNotWithCredentials) {
    EXPECT_THAT(
        answer({.allow_origins = {"*"}}, "https://a.example"),
        ElementsAre("access-control-allow-origin: *")
    );
    EXPECT_THAT(
        answer({.allow_origin_regex = {".*"}, .allow_credentials = true}, "https://a.example"),
        ElementsAre(
            "access-control-allow-origin: https://a.example",
            "access-control-allow-credentials: true",
            "vary: Origin"
        )
    );
    EXPECT_THAT(answer({.allow_origins = {"*"}}, ""), IsEmpty());
}

TEST(Cors, TwoOriginsAreNobodys) {
    const CorsRules rules({.allow_origins = {"*"}});
    EXPECT_EQ(
        rules.allowed_origin({{"Origin", "a", Header::origin}, {"Origin", "a", Header::origin}}), ""
    );
}

TEST(Cors, AQuestionIsAnOptionsWithAnOriginAndAMethod) {
    wire::http1::RequestHead head = question("PUT", "");
    EXPECT_EQ(preflight_method(head), "PUT");
    head.method = Method::get;
    EXPECT_EQ(preflight_method(head), "");
    head = question("PUT", "");
    head.fields.erase(head.fields.begin());
    EXPECT_EQ(preflight_method(head), "");
    head = question("PUT", "");
    head.fields.pop_back();
    EXPECT_EQ(preflight_method(head), "");
}

TEST(Cors, AnswersAQuestionWithWhatIsAllowed) {
    const CorsPolicy policy{
        .allow_origins = {"https://a.example"},
        .allow_methods = {"PUT", "GET"},
        .allow_headers = {"x-token", "content-type"},
        .max_age = std::chrono::minutes(10)
    };
    EXPECT_THAT(
        preflight(policy, question("DELETE", "x-other")),
        ElementsAre(
            "access-control-allow-origin: https://a.example",
            "vary: Origin",
            "access-control-allow-methods: GET, HEAD, POST, PUT",
            "access-control-allow-headers: x-token, content-type",
            "access-control-max-age: 600"
        )
    );
}

// With credentials a browser takes "*" for a method or header of that name.
TEST(Cors, WithCredentialsWhatIsAskedForIsNamed) {
    CorsPolicy policy{
        .allow_origins = {"https://a.example"}, .allow_methods = {"*"}, .allow_headers = {"*"}
    };
    EXPECT_THAT(
        preflight(policy, question("DELETE", "x-a, x-b")),
        ElementsAre(
            "access-control-allow-origin: https://a.example",
            "vary: Origin",
            "access-control-allow-methods: *",
            "access-control-allow-headers: *"
        )
    );
    policy.allow_credentials = true;
    EXPECT_THAT(
        preflight(policy, question("DELETE", "x-a, x-b")),
        ElementsAre(
            "access-control-allow-origin: https://a.example",
            "access-control-allow-credentials: true",
            "vary: Origin",
            "access-control-allow-methods: DELETE",
            "access-control-allow-headers: x-a, x-b",
            "vary: Access-Control-Request-Method, Access-Control-Request-Headers"
        )
    );
}

TEST(Cors, TheEndpointsOwnWordsAreReplaced) {
    std::vector<Field> fields = {
        {"Access-Control-Allow-Origin", "*"}, {"x", "1"}, {"access-control-MAX-age", "9"}
    };
    CorsRules::remove_from_answer(fields);
    EXPECT_THAT(lines(fields), ElementsAre("x: 1"));
}

}  // namespace
}  // namespace datapunk::mesh::routing
