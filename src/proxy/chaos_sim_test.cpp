// Many callers of every kind, endpoints that fail in every way, over many seeds: each request gets
// one answer, or visibly none, and afterwards nothing is held.

#include <set>

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

// What one request came to, as its caller saw it.
enum class Seen : std::uint8_t { answered, refused, cut };

struct Tally {
    int asked = 0;
    int answered = 0;
    int refused = 0;  // the proxy said why
    int cut = 0;      // a visible error
    std::vector<std::string> wrong;
};

// Bodies that cannot be mistaken: 'x' times the number that the target says.
std::string body_of(std::size_t bytes) {
    return std::string(bytes, 'x');
}

std::string request_bytes(core::Rng& rng, std::size_t answer_bytes) {
    std::string head = " /" + std::to_string(answer_bytes) + " HTTP/1.1\r\nHost: api\r\n";
    const std::size_t bytes = rng.below(3) == 0 ? 80'000 : rng.below(2'000);
    switch (rng.below(4)) {
        case 0:
            return "PUT" + head + "Content-Length: " + std::to_string(bytes) + "\r\n\r\n" +
                   body_of(bytes);
        case 1: {
            std::string all = "POST" + head + "Transfer-Encoding: chunked\r\n\r\n";
            for (int i = 0; i < 5; ++i) all += "64\r\n" + body_of(100) + "\r\n";
            return all + "0\r\n\r\n";
        }
        default:
            return "GET" + head + "\r\n";
    }
}

// Reads one final answer and checks it against `answer_bytes`.
io::Task<Seen> read_answer(
    http::MessageReader& reader, Instant deadline, std::size_t answer_bytes, Tally& tally
) {
    wire::http1::ResponseHead head;
    for (;;) {
        const auto read = co_await reader.read_response(head, wire::http1::Method::get, deadline);
        if (read == http::HeadRead::rejected) tally.wrong.push_back("not HTTP");
        if (read != http::HeadRead::done) co_return Seen::cut;
        if (!head.is_interim()) break;
    }
    const bool is_own = head.find("x-mesh-reason") != nullptr;
    const int status = head.status;
    std::string body;
    while (!reader.body_done()) {
        auto piece = co_await reader.next_piece(deadline);
        if (!piece) co_return Seen::cut;
        body += piece->bytes;
    }
    if (is_own) {
        if (status < 400) tally.wrong.push_back("refused with " + std::to_string(status));
        co_return Seen::refused;
    }
    if (status == 200 && body != body_of(answer_bytes))
        tally.wrong.push_back(
            "a finished answer of " + std::to_string(body.size()) + " bytes, not " +
            std::to_string(answer_bytes)
        );
    co_return Seen::answered;
}

io::Task<void> caller(RawWorld& w, core::Rng rng, Tally& tally) {
    io::Loop& loop = w.world.loop();
    for (int connection = 0; connection < 4; ++connection) {
        co_await io::sleep_until(loop, loop.now() + milliseconds(rng.below(300)));
        auto connected = co_await w.world.host("10.0.0.1")
                             .connect(*io::parse_ip("10.0.0.2", 9000), loop.now() + seconds(5));
        if (!connected) continue;
        http::MessageReader reader(**connected, {});
        for (int i = 0; i < 5; ++i) {
            const std::size_t answer_bytes = rng.below(3) == 0 ? 70'000 : rng.below(3'000);
            const std::string bytes = request_bytes(rng, answer_bytes);
            const bool leaves = rng.below(12) == 0;
            ++tally.asked;
            const io::Slices slices(bytes);
            const Instant patience =
                loop.now() + (leaves ? Duration(milliseconds(rng.below(60))) : seconds(40));
            auto sent = co_await (*connected)->write(slices, patience);
            if (!sent && leaves) {
                ++tally.cut;
                break;
            }
            // Also if not all could be sent: there may be an answer that says why.
            const Seen seen = co_await read_answer(reader, patience, answer_bytes, tally);
            ++(seen == Seen::answered  ? tally.answered
               : seen == Seen::refused ? tally.refused
                                       : tally.cut);
            if (seen == Seen::cut) break;
            if (reader.has_more()) tally.wrong.push_back("more than one answer");
        }
    }
}

// One of the ways to answer "/N": mostly well.
Script misbehave(core::Rng& rng, std::size_t bytes) {
    const std::string body = body_of(bytes);
    const std::string length = std::to_string(bytes);
    switch (rng.below(14)) {
        case 0:
            return {.then = Then::reset};
        case 1:
            return {.then = Then::close};
        case 2:
            return {.bytes = "garbage\r\n\r\n"};
        case 3:
            return {.bytes = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"};
        case 4:
            return {
                .bytes = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(bytes + 5) +
                         "\r\n\r\n" + body,
                .then = Then::close
            };
        case 5:
            return {
                .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n",
                .then = Then::close
            };
        case 6:
            return {.bytes = "HTTP/1.1 200 OK\r\n\r\n" + body, .then = Then::close};
        case 7:
            return {.accept_only = true};
        case 8:
            return {
                .bytes = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: " +
                         length + "\r\n\r\n",
                .delay = milliseconds(20),
                .pause = milliseconds(30),
                .more = body
            };
        default:
            return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\n\r\n" + body};
    }
}

void run_world(std::uint64_t seed, Tally& tally) {
    RawWorld w(
        {.breaker = {.enabled = seed % 4 == 0},
         .outlier = {.enabled = false},
         .retry = {.attempt_timeout = seconds(2)},
         .limits = {.connections = seed % 2 == 0 ? 6U : 1024U},
         .deadline = seconds(5)},
        {.body_timeout = seconds(3)},
        seed
    );
    SCOPED_TRACE(w.world.hint());
    core::Rng rng(seed);
    w.world.set_plan(
        "10.0.0.1",
        "10.0.0.2",
        {.latency_max = milliseconds(5),
         .short_read = 0.3,
         .short_write = 0.3,
         .buffer_bytes = 20'000}
    );
    w.world.set_plan(
        "10.0.0.2",
        "10.0.0.11",
        {.latency_max = milliseconds(20),
         .loss = 0.01,
         .reset = 0.002,
         .refuse = 0.05,
         .blackhole = 0.02,
         .short_read = 0.3,
         .short_write = 0.3,
         .buffer_bytes = 20'000}
    );
    w.a.script = [&](int) {
        return misbehave(rng, std::stoul(w.a.head.substr(w.a.head.rfind(" /") + 2, 8)));
    };
    Tally mine;
    io::TaskGroup callers;
    for (std::uint64_t i = 0; i < 8; ++i) callers.spawn(caller(w, core::Rng(seed * 100 + i), mine));
    const Instant end = w.world.loop().now() + std::chrono::minutes(20);
    while (!callers.empty() && w.world.loop().now() < end) w.world.loop().turn(end);
    EXPECT_TRUE(callers.empty()) << "every request ends";
    w.world.loop().run_for(seconds(10));
    w.expect_at_rest();
    EXPECT_EQ(mine.asked, mine.answered + mine.refused + mine.cut);
    EXPECT_THAT(mine.wrong, testing::IsEmpty());
    EXPECT_EQ(w.api.totals().abandoned, 0U);
    EXPECT_GE(
        w.value(metrics::names::kRequests), static_cast<double>(mine.answered + mine.refused)
    );
    EXPECT_LE(w.value(metrics::names::kRequests), static_cast<double>(mine.asked));
    tally.answered += mine.answered;
    tally.refused += mine.refused;
    tally.cut += mine.cut;
}

TEST(ProxyChaos, EveryRequestHasOneAnswerOrAVisibleErrorAndNothingIsLeftBehind) {
    const std::uint64_t first = sim::seed_for_test(1);
    Tally tally;
    for (std::uint64_t seed = first; seed < first + 40; ++seed) {
        run_world(seed, tally);
        if (HasFailure()) break;
    }
    EXPECT_GT(tally.answered, 0);
    EXPECT_GT(tally.refused, 0);
    EXPECT_GT(tally.cut, 0);
    RecordProperty("answered", tally.answered);
    RecordProperty("refused", tally.refused);
    RecordProperty("cut", tally.cut);
}

}  // namespace
}  // namespace datapunk::mesh::proxy
