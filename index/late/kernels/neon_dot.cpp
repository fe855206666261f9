// 64-bit ARM with 8-bit dot products (Apple M1, Graviton 2 and later): both sides are signed there, so one is shifted.
#include "plan.h"

#if defined(RETR_NEON_DOT)
#include <arm_neon.h>
#if !defined(__clang__)
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace retr_late {
namespace {

constexpr int W = 4, V = 4, STEP = 4, SHIFT = 128;
typedef int8_t Number;
typedef int8_t Lane;
typedef int32_t Lanes __attribute__((vector_size(16)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    return (Lanes)vdotq_s32((int32x4_t)sum, vreinterpretq_s8_s32(vdupq_n_s32(numbers)), vld1q_s8(queries));
}

#include "look_up_neon.inl"
#include "maxsim.inl"

}  // namespace

extern const Kernels neon_dot_kernels;
const Kernels neon_dot_kernels{"neon-dot", products, tables, scores, scan, floats};

}  // namespace retr_late

#endif
