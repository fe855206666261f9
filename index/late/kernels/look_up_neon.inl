// Levels looked up 16, then one at a time, by NEON. Included by the files whose processors have it.

inline void look_up(const uint8_t *table, const uint8_t *codes, int shift, int mask, uint8_t *to, int64_t count) {
    const uint8x16_t levels = vld1q_u8(table), low = vdupq_n_u8(uint8_t(mask));
    const int8x16_t by = vdupq_n_s8(int8_t(-shift));
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        vst1q_u8(to + i, vqtbl1q_u8(levels, vandq_u8(vshlq_u8(vld1q_u8(codes + i), by), low)));
    for (; i < count; i++) to[i] = table[(codes[i] >> shift) & mask];
}
