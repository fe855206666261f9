// x86-64 with AVX-512 and its 8-bit products (VNNI): Ice Lake, Sapphire Rapids, Zen 4 and later.
#include "plan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")
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

#include "transformer.inl"

}  // namespace

extern const Kernels avx512_kernels;
const Kernels avx512_kernels{"avx512-vnni", pack_bytes, pack, PANEL, scratch_bytes, run};

}  // namespace retr

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
