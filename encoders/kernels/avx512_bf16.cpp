// x86-64 with AVX-512, its 8-bit products (VNNI) and bfloat16: Cooper Lake, Sapphire Rapids, Zen 4 and later.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma")
#endif

namespace retr {
namespace {

constexpr int W = 16, MR = 6, NV = 4, STEP = 4, SHIFT = 0;
typedef int8_t Weight;
typedef uint8_t Input;
typedef int32_t Lanes __attribute__((vector_size(64)));

inline Lanes step(Lanes sum, int32_t inputs, const Weight *weights) {
    return (Lanes)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(inputs), _mm512_loadu_si512(weights));
}

#define HALVES
typedef float Floats __attribute__((vector_size(64)));

inline Floats half_step(Floats sum, int32_t pair, const uint16_t *columns) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)_mm512_loadu_si512(columns));
}

inline void halve(uint16_t *to, Floats from) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), (__m256i)_mm512_cvtneps_pbh((__m512)from));
}

inline void pair_up(uint16_t *to, Floats first, Floats second) {
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)first));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)second));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

#include "transformer.inl"

}  // namespace

extern const Kernels avx512_bf16_kernels;
const Kernels avx512_bf16_kernels{"avx512-bf16", pack_bytes, pack, PANEL, scratch_bytes, run};

}  // namespace retr

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
