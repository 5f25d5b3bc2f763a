#include "balance/aperture.h"

#include <algorithm>
#include <cmath>

namespace datapunk::mesh::balance {
namespace {

double overlap(double a_begin, double a_end, double b_begin, double b_end) {
    return std::max(0.0, std::min(a_end, b_end) - std::max(a_begin, b_begin));
}

}  // namespace

std::vector<double> aperture_parts(
    std::span<const std::uint32_t> weights,
    std::uint32_t size,
    std::uint32_t caller,
    std::uint32_t callers
) {
    std::vector<double> parts(weights.size(), 1.0);
    double sum = 0;
    for (const std::uint32_t weight : weights) sum += weight;
    const double unit = 1.0 / callers;
    const double wanted = static_cast<double>(size) / static_cast<double>(weights.size());
    // A hair less, so that an aperture of exactly so many is not made one wider by rounding.
    const double width = std::ceil(wanted / unit - 1e-9) * unit;
    if (width >= 1 || weights.empty()) return parts;
    const double begin = caller * unit;
    const double end = begin + width;
    double at = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double next = at + weights[i] / sum;
        // The aperture may go round.
        const double covered =
            overlap(at, next, begin, end) + overlap(at + 1, next + 1, begin, end);
        const double part = covered / (next - at);
        parts[i] = part < 1e-9 ? 0 : std::min(1.0, part);
        at = next;
    }
    return parts;
}

}  // namespace datapunk::mesh::balance
