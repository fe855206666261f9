// x86-64 with AVX-512 and its 8-bit products (VNNI): Ice Lake, Sapphire Rapids, Zen 4 and later.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")
#endif

namespace retr_late {
namespace {

constexpr int W = 16, V = 2, STEP = 4, SHIFT = 0;
typedef uint8_t Number;
typedef int8_t Lane;
typedef int32_t Lanes __attribute__((vector_size(64)));

inline Lanes step(Lanes sum, int32_t numbers, const Lane *queries) {
    return (Lanes)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(numbers), _mm512_loadu_si512(queries));
}

inline void look_up(const uint8_t *table, const uint8_t *codes, int shift, int mask, uint8_t *to, int64_t count) {
    const __m512i levels = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i *>(table)));
    const __m512i low = _mm512_set1_epi8(char(mask));
    for (int64_t i = 0; i < count; i += 64) {
        const __mmask64 here = count - i < 64 ? (__mmask64(1) << (count - i)) - 1 : ~__mmask64(0);
        const __m512i shifted = _mm512_srli_epi16(_mm512_maskz_loadu_epi8(here, codes + i), unsigned(shift));
        _mm512_mask_storeu_epi8(to + i, here, _mm512_shuffle_epi8(levels, _mm512_and_si512(shifted, low)));
    }
}

#include "maxsim.inl"

}  // namespace

extern const Kernels avx512_kernels;
const Kernels avx512_kernels{"avx512-vnni", products, tables, scores, scan, floats};

}  // namespace retr_late

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
