// x86-64 with AVX2 and its 8-bit products (AVX-VNNI): Alder Lake and later processors without AVX-512.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,avxvnni")
#endif

namespace retr {
namespace {

constexpr int W = 8, MR = 6, NV = 2, STEP = 4, SHIFT = 0;
typedef int8_t Weight;
typedef uint8_t Input;
typedef int32_t Lanes __attribute__((vector_size(32)));

inline Lanes step(Lanes sum, int32_t inputs, const Weight *weights) {
    const __m256i columns = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(weights));
    return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32(inputs), columns);
}

#include "transformer.inl"

}  // namespace

extern const Kernels avxvnni_kernels;
const Kernels avxvnni_kernels{"avx-vnni", pack_bytes, pack, PANEL, scratch_bytes, run};

}  // namespace retr

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
