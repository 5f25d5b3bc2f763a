#pragma once

// ByteWriter and ByteReader: the one binary form for what we store: LEB128 varints, length-prefixed
// strings. The reader never reads past the end and never trusts a length: after the first bad field
// every further read gives zero values and ok() is false. Values.

#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::core {

class ByteWriter {
  public:
    void u64(std::uint64_t value) {
        while (value >= 0x80) {
            out_ += static_cast<char>(static_cast<unsigned char>(value | 0x80U));
            value >>= 7U;
        }
        out_ += static_cast<char>(value);
    }

    void i64(std::int64_t value) {  // zigzag: small negatives stay small
        u64((static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63));
    }

    void boolean(bool value) { u64(value ? 1 : 0); }

    void text(std::string_view value) {
        u64(value.size());
        out_ += value;
    }

    const std::string& bytes() const& { return out_; }

    std::string bytes() && { return std::move(out_); }

  private:
    std::string out_;
};

class ByteReader {
  public:
    explicit ByteReader(std::string_view in) : in_(in) {}

    std::uint64_t u64() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ >= in_.size()) return fail();
            const auto byte = static_cast<unsigned char>(in_[at_++]);
            value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
            if ((byte & 0x80U) == 0) return value;
        }
        return fail();
    }

    std::int64_t i64() {
        const std::uint64_t raw = u64();
        return static_cast<std::int64_t>(raw >> 1U) ^ -static_cast<std::int64_t>(raw & 1U);
    }

    bool boolean() { return u64() != 0; }

    std::string_view text() {
        const std::uint64_t size = u64();
        if (size > in_.size() - at_) {
            fail();
            return {};
        }
        const std::string_view value = in_.substr(at_, size);
        at_ += size;
        return value;
    }

    bool ok() const noexcept { return ok_; }

    bool at_end() const noexcept { return at_ == in_.size(); }

  private:
    std::uint64_t fail() noexcept {
        ok_ = false;
        at_ = in_.size();
        return 0;
    }

    std::string_view in_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace datapunk::mesh::core
