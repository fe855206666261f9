// Levels looked up 32, 16, then one at a time, by AVX2. Included by the files whose processors have it.

inline void look_up(const uint8_t *table, const uint8_t *codes, int shift, int mask, uint8_t *to, int64_t count) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i *>(table));
    const __m256i both = _mm256_broadcastsi128_si256(levels), low = _mm256_set1_epi8(char(mask));
    const __m128i by = _mm_cvtsi32_si128(shift);
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i here = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(codes + i));
        const __m256i places = _mm256_and_si256(_mm256_srl_epi16(here, by), low);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + i), _mm256_shuffle_epi8(both, places));
    }
    for (; i + 16 <= count; i += 16) {
        const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i *>(codes + i));
        const __m128i places = _mm_and_si128(_mm_srl_epi16(here, by), _mm256_castsi256_si128(low));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to + i), _mm_shuffle_epi8(levels, places));
    }
    for (; i < count; i++) to[i] = table[(codes[i] >> shift) & mask];
}
