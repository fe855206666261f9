// x86-64 with AVX2 and FMA. Products of 8-bit numbers would saturate in 16 bits there, so both sides are kept in 16 bits.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

namespace retr_late {
namespace {

constexpr int W = 8, V = 2, STEP = 2, SHIFT = 0;
typedef int16_t Number;
typedef int16_t Lane;
typedef int32_t Lanes __attribute__((vector_size(32)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    const __m256i columns = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(queries));
    return sum + (Lanes)_mm256_madd_epi16(_mm256_set1_epi32(numbers), columns);
}

#include "look_up_avx2.inl"
#include "maxsim.inl"

}  // namespace

extern const Kernels avx2_kernels;
const Kernels avx2_kernels{"avx2", products, tables, scores, scan, floats};

}  // namespace retr_late

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
