// 64-bit ARM. Products of 8-bit numbers are formed in 16 bits on both sides, which every such processor can.
#include "plan.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace retr_late {
namespace {

constexpr int W = 4, V = 4, STEP = 2, SHIFT = 0;
typedef int16_t Number;
typedef int16_t Lane;
typedef int32_t Lanes __attribute__((vector_size(16)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    const int16x4x2_t columns = vld2_s16(queries);  // first and second numbers of four query tokens
    const int16x4_t pair = vreinterpret_s16_s32(vdup_n_s32(numbers));
    int32x4_t total = vmlal_lane_s16((int32x4_t)sum, columns.val[0], pair, 0);
    return (Lanes)vmlal_lane_s16(total, columns.val[1], pair, 1);
}

#include "look_up_neon.inl"
#include "maxsim.inl"

}  // namespace

extern const Kernels neon_kernels;
const Kernels neon_kernels{"neon", products, tables, scores, scan, floats};

}  // namespace retr_late
#endif
