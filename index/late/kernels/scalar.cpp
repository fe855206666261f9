// Any processor: plain C++, which the compiler makes of it what it can.
#include "plan.h"

namespace retr_late {
namespace {

constexpr int W = 4, V = 1, STEP = 2, SHIFT = 0;
typedef int16_t Number;
typedef int16_t Lane;
typedef int32_t Lanes __attribute__((vector_size(16)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    Number pair[STEP];
    __builtin_memcpy(pair, &numbers, sizeof pair);
    for (int lane = 0; lane < W; lane++)
        sum[lane] += int32_t(pair[0]) * queries[lane * STEP] + int32_t(pair[1]) * queries[lane * STEP + 1];
    return sum;
}

inline void look_up(const uint8_t *table, const uint8_t *codes, int shift, int mask, uint8_t *to, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = table[(codes[i] >> shift) & mask];
}

#include "maxsim.inl"

}  // namespace

extern const Kernels scalar_kernels;
const Kernels scalar_kernels{"scalar", products, tables, scores, scan, floats};

}  // namespace retr_late
