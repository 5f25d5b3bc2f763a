#include "trace/span_context.h"

#include <cstddef>

namespace datapunk::mesh::trace {

namespace {

void put_big_endian(std::uint8_t* to, std::uint64_t value) noexcept {
    for (std::size_t i = 0; i < 8; ++i) to[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
}

std::uint64_t non_zero(core::Rng& rng) noexcept {
    for (;;) {
        const std::uint64_t value = rng();
        if (value != 0) return value;
    }
}

SpanId new_span_id(core::Rng& rng) noexcept {
    SpanId id;
    put_big_endian(id.data(), non_zero(rng));
    return id;
}

std::uint64_t threshold_of(double ratio) noexcept {
    return ratio > 0 && ratio < 1 ? static_cast<std::uint64_t>(ratio * 0x1.0p64) : 0;
}

}  // namespace

Sampler::Sampler(double ratio, bool trust_parent) noexcept
    : threshold_(threshold_of(ratio)), keep_all_(ratio >= 1), trust_parent_(trust_parent) {}

bool Sampler::keeps(const TraceId& id) const noexcept {
    std::uint64_t low = 0;
    for (std::size_t i = 8; i < id.size(); ++i) low = low << 8U | id[i];
    return keep_all_ || low < threshold_;
}

SpanContext new_root(const Sampler& sampler, core::Rng& rng) noexcept {
    SpanContext context;
    put_big_endian(context.trace_id.data(), rng());
    put_big_endian(context.trace_id.data() + 8, non_zero(rng));
    context.span_id = new_span_id(rng);
    context.flags = sampler.keeps(context.trace_id) ? kSampledFlag : std::uint8_t{0};
    return context;
}

SpanContext child_of(const SpanContext& parent, const Sampler& sampler, core::Rng& rng) noexcept {
    if (!parent.valid()) return new_root(sampler, rng);
    const bool keep = sampler.trusts_parent() ? parent.sampled() : sampler.keeps(parent.trace_id);
    const std::uint8_t others = parent.flags & static_cast<std::uint8_t>(~kSampledFlag);
    return {
        .trace_id = parent.trace_id,
        .span_id = new_span_id(rng),
        .flags = static_cast<std::uint8_t>(others | (keep ? kSampledFlag : 0)),
    };
}

}  // namespace datapunk::mesh::trace
