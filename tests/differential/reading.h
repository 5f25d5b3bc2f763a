#pragma once

// Reading: what one parser makes of bytes that should be an HTTP/1 message, in words that all of
// them can be compared in. The parsers: ours, llhttp (Node.js) and Boost.Beast.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace datapunk::mesh::differential {

enum class Kind : std::uint8_t { request, response };  // a response is one to GET

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Reading {
    enum class Verdict : std::uint8_t { refused, unfinished, whole };

    Verdict verdict = Verdict::refused;
    std::string why;            // if refused: the parser's own word for it
    std::size_t bytes = 0;      // of the message, if whole: what follows is another one's
    std::string method;         // of a request
    std::string target;         // likewise
    unsigned status = 0;        // of a response
    bool is_keep_alive = true;  // whether another message may follow
    std::string body;
    // Of the head and of the trailers; values without the blanks around them.
    Fields fields;
};

// What does not depend on the parser: the order of names does.
std::map<std::string, std::vector<std::string>> by_name(const Fields& fields);

// The sender has closed its side behind the bytes.
Reading read_ours(Kind kind, std::string_view bytes);
Reading read_llhttp(Kind kind, std::string_view bytes);
Reading read_beast(Kind kind, std::string_view bytes);

// It has a list, which others than HTTP's are not in; of those, RTSP's and Icecast's are not
// HTTP's.
bool is_method_of_llhttp(std::string_view method);

}  // namespace datapunk::mesh::differential
