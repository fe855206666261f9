// x86-64 with AVX2 and AVX-VNNI, its 8-bit products without AVX-512: Alder Lake and later.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,avxvnni")
#endif

namespace retr_late {
namespace {

constexpr int W = 8, V = 2, STEP = 4, SHIFT = 0;
typedef uint8_t Number;
typedef int8_t Lane;
typedef int32_t Lanes __attribute__((vector_size(32)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    const __m256i columns = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(queries));
    return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32(numbers), columns);
}

#include "look_up_avx2.inl"
#include "maxsim.inl"

}  // namespace

extern const Kernels avxvnni_kernels;
const Kernels avxvnni_kernels{"avx-vnni", products, tables, scores, scan, floats};

}  // namespace retr_late

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
