// Retries of the proxy: what an answer's status and headers say for or against another attempt.

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::string empty_answer(const std::string& status, const std::string& extra = {}) {
    return "HTTP/1.1 " + status + "\r\n" + extra + "Content-Length: 0\r\n\r\n";
}

ServicePolicy two_attempts() {
    ServicePolicy policy = kOneAttempt;
    policy.retry.attempts = 2;
    return policy;
}

TEST(ProxyRetry, AListedStatusIsTriedAgainAndOthersAreAnswers) {
    ServicePolicy policy = two_attempts();
    policy.retry.on_statuses = {429};
    for (const auto& [status, attempts] : {std::pair{"429 Slow", 2U}, {"404 None", 1U}}) {
        RawWorld w(policy);
        w.a.script = [text = std::string(status)](int n) -> Script {
            return {.bytes = n == 0 ? empty_answer(text) : kOk};
        };
        const auto answer = w.get();
        EXPECT_THAT(answer.bytes, HasSubstr(attempts == 2 ? "\r\n\r\nok" : "404 None"));
        EXPECT_EQ(w.api.totals().attempts, attempts) << status;
        // Neither speaks against the endpoint.
        EXPECT_EQ(w.api.view(w.world.loop().now()).endpoints[0].failures, 0U);
        w.expect_at_rest();
    }
}

TEST(ProxyRetry, TheLastAnswerOfAListedStatusIsTheCallers) {
    ServicePolicy policy = two_attempts();
    policy.retry.on_statuses = {429};
    RawWorld w(policy);
    w.a.script = [](int) -> Script { return {.bytes = empty_answer("429 Slow")}; };
    EXPECT_THAT(w.get().bytes, HasSubstr("429 Slow"));
    EXPECT_EQ(w.api.totals().attempts, 2U);
    w.expect_at_rest();
}

TEST(ProxyRetry, ANamedHeaderAsksForAnotherAttempt) {
    ServicePolicy policy = two_attempts();
    policy.retry.on_headers = {"X-Try-Again"};
    RawWorld w(policy);
    w.a.script = [](int n) -> Script {
        return {.bytes = n == 0 ? empty_answer("200 OK", "x-try-again: 1\r\n") : kOk};
    };
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_EQ(w.api.totals().attempts, 2U);
    w.expect_at_rest();
}

TEST(ProxyRetry, OnlyGatewayErrorsWhenOnlyTheyAreNamed) {
    ServicePolicy policy = two_attempts();
    policy.retry.on = RetryOn::gateway_error;
    for (const auto& [status, attempts] : {std::pair{"500 Bad", 1U}, {"503 Busy", 2U}}) {
        RawWorld w(policy);
        w.a.script = [text = std::string(status)](int n) -> Script {
            return {.bytes = n == 0 ? empty_answer(text) : kOk};
        };
        w.get();
        EXPECT_EQ(w.api.totals().attempts, attempts) << status;
        w.expect_at_rest();
    }
}

TEST(ProxyRetry, ARetryAfterIsWaitedForAndALongerOneIsTheCallersToHonour) {
    for (const auto& [seconds_asked, attempts] : {std::pair{2, 2U}, {6, 1U}}) {
        RawWorld w(two_attempts());
        w.a.script = [after = seconds_asked](int n) -> Script {
            return {
                .bytes =
                    n == 0
                        ? empty_answer("503 Busy", "Retry-After: " + std::to_string(after) + "\r\n")
                        : kOk
            };
        };
        const auto answer = w.get();
        EXPECT_EQ(w.api.totals().attempts, attempts);
        if (attempts == 2) {
            EXPECT_THAT(answer.bytes, EndsWith("ok"));
            EXPECT_GE(answer.took, seconds(2));
        } else {
            EXPECT_THAT(answer.bytes, HasSubstr("Retry-After: 6"));
            EXPECT_LT(answer.took, seconds(1));
        }
        w.expect_at_rest();
    }
}

}  // namespace
}  // namespace datapunk::mesh::proxy
