// 64-bit ARM with 8-bit dot products (Apple M1, Graviton 2 and later): inputs are signed there, so they are shifted.
#include "plan.h"

#if defined(RETR_NEON_DOT)
#include <arm_neon.h>
#if !defined(__clang__)
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace retr {
namespace {

constexpr int W = 4, MR = 6, NV = 4, STEP = 4, SHIFT = 128;
typedef int8_t Weight;
typedef int8_t Input;
typedef int32_t Lanes __attribute__((vector_size(16)));

inline Lanes step(Lanes sum, int32_t inputs, const Weight *weights) {
    return (Lanes)vdotq_s32((int32x4_t)sum, vreinterpretq_s8_s32(vdupq_n_s32(inputs)), vld1q_s8(weights));
}

#include "transformer.inl"

}  // namespace

extern const Kernels neon_dot_kernels;
const Kernels neon_dot_kernels{"neon-dot", pack_bytes, pack, PANEL, scratch_bytes, run};

}  // namespace retr

#endif
