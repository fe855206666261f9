// What one instruction set's code is given and gives. Plain data: no code here.
#pragma once
#include "late.h"

// Clang offers ARM's dot products only where the whole build may use them, as on Apple's processors.
#if defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_DOTPROD))
#define RETR_NEON_DOT
#endif

namespace retr_late {

constexpr int BLOCK = 16;  // query tokens are padded to a multiple of this
constexpr int BYTES = 32;  // and, in the table of bytes, of this
constexpr int ROOM = 64;   // document tokens that are expanded together, at most
constexpr int64_t EXPANDED = 16384;  // and numbers, so that they stay in the first-level cache

inline int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// One instruction set. `scratch` has room for `scratch_bytes` of the query and the dim.
struct Kernels {
    const char *name;
    void (*products)(const LateQuery &query, const uint8_t *rows, int64_t count, int32_t *out, char *scratch);
    void (*tables)(const LateQuery &query, const int32_t *products, int64_t count, int64_t gain, int64_t zero,
                   int32_t *bases, uint8_t *table, char *scratch);
    void (*scores)(const LateQuery &query, const LateTokens &tokens, const int32_t *bases, const int64_t *rows,
                   int64_t count, int64_t *out, char *scratch);
    void (*scan)(int64_t query_tokens, const LateTokens &tokens, const uint8_t *table, const int64_t *rows,
                 int64_t count, uint32_t *out);
    void (*floats)(const float *query, int64_t query_tokens, const float *tokens, const int64_t *offsets,
                   int64_t documents, int64_t dim, double *out, char *scratch);
};

// Room for packed queries (4 bytes a number), expanded tokens (2 bytes and 1 byte) and a few numbers a query token.
inline size_t scratch_bytes(int64_t query_tokens, int64_t dim) {
    const int64_t lanes = round_up(query_tokens, BYTES);
    const int64_t expanded = (EXPANDED > 4 * dim ? EXPANDED : 4 * dim) + ROOM;
    return size_t(lanes * dim * 4 + expanded * 2 + dim + lanes * 32 + 1024);
}

}  // namespace retr_late
