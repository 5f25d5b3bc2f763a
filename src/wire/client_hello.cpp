#include "wire/client_hello.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::wire {

namespace {

constexpr unsigned kHandshakeRecord = 22;
constexpr unsigned kClientHello = 1;
constexpr std::size_t kRecordBytesMax = 16'384;
constexpr std::size_t kNameBytesMax = 253;

// Reads forward; past the end everything fails.
class Cursor {
  public:
    explicit Cursor(std::string_view data) noexcept : data_(data) {}

    std::size_t number(std::size_t bytes) noexcept {
        std::size_t value = 0;
        for (const char c : take(bytes)) value = value << 8U | static_cast<unsigned char>(c);
        return value;
    }

    std::string_view take(std::size_t bytes) noexcept {
        if (bytes > data_.size()) {
            failed_ = true;
            data_ = {};
            return {};
        }
        const std::string_view taken = data_.substr(0, bytes);
        data_.remove_prefix(bytes);
        return taken;
    }

    // What a length of so many bytes in front says.
    std::string_view vector(std::size_t length_bytes) noexcept {
        return take(number(length_bytes));
    }

    bool empty() const noexcept { return data_.empty(); }

    bool failed() const noexcept { return failed_; }

  private:
    std::string_view data_;
    bool failed_ = false;
};

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= kNameBytesMax &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_';
           });
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

bool read_names(std::string_view extension, std::string& name) {
    Cursor list(extension);
    Cursor names(list.vector(2));
    if (list.failed() || !list.empty() || names.empty()) return false;
    const std::size_t type = names.number(1);
    const std::string_view host = names.vector(2);
    // Two names of a type are forbidden, and there is no other type.
    if (names.failed() || !names.empty() || type != 0 || !is_name(host)) return false;
    name = lower(host);
    return true;
}

HelloRead read_hello(std::string_view hello, std::string& name) {
    Cursor body(hello);
    body.take(2 + 32);                                            // version and random
    if (body.vector(1).size() > 32) return HelloRead::malformed;  // session
    const bool has_ciphers = !body.vector(2).empty();
    const bool has_compression = !body.vector(1).empty();
    if (body.failed() || !has_ciphers || !has_compression) return HelloRead::malformed;
    if (body.empty()) return HelloRead::done;  // no extensions
    Cursor extensions(body.vector(2));
    if (body.failed() || !body.empty()) return HelloRead::malformed;
    bool found = false;
    while (!extensions.empty()) {
        const std::size_t type = extensions.number(2);
        const std::string_view value = extensions.vector(2);
        if (extensions.failed()) return HelloRead::malformed;
        if (type != 0) continue;
        if (std::exchange(found, true) || !read_names(value, name)) return HelloRead::malformed;
    }
    return HelloRead::done;
}

}  // namespace

HelloRead read_server_name(std::string_view data, std::string& name) {
    name.clear();
    std::string message;  // may be cut into several records
    for (;;) {
        if (!data.empty() && static_cast<unsigned char>(data[0]) != kHandshakeRecord)
            return HelloRead::malformed;
        if (data.size() > 1 && static_cast<unsigned char>(data[1]) != 3)
            return HelloRead::malformed;
        if (data.size() < 5) return HelloRead::more;
        Cursor head(data);
        head.take(3);
        const std::size_t length = head.number(2);
        if (length == 0 || length > kRecordBytesMax) return HelloRead::malformed;
        const std::string_view part = data.substr(5, length);
        message += part;
        if (!message.empty() && static_cast<unsigned char>(message[0]) != kClientHello)
            return HelloRead::malformed;
        if (message.size() >= 4) {
            Cursor start(message);
            start.take(1);
            const std::size_t wanted = start.number(3);
            if (wanted > kClientHelloBytesMax) return HelloRead::malformed;
            if (message.size() >= 4 + wanted)
                return read_hello(std::string_view(message).substr(4, wanted), name);
        }
        if (part.size() < length) return HelloRead::more;
        data.remove_prefix(5 + length);
    }
}

}  // namespace datapunk::mesh::wire
