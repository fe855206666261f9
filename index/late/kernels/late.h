// The C interface to the kernels of late interaction. Integers only, apart from `retr_late_floats`: every instruction set
// gives the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

#define PUBLIC extern "C" __attribute__((visibility("default")))

// Documents' tokens end to end, as they lie on disk. Document n has the tokens offsets[n] to offsets[n + 1].
struct LateTokens {
    const uint16_t *codes;     // [tokens] centroid << shift | table of levels, or null where tokens have no centroids
    const uint8_t *residuals;  // [tokens, dim * bits / 8]; bits 8: numbers plus 128; 4 and 2: plane after plane
    const int64_t *offsets;    // [documents + 1]
    const uint8_t *levels;     // [1 << shift, 16], of which 4 bits use all and 2 bits the first four
    int64_t dim, bits, shift;
};

// A query's tokens, [count, dim], numbers from -127 to 127. In what follows `lanes` is count rounded up to 16, `wide` to 32.
struct LateQuery {
    const int8_t *numbers;
    int64_t count, dim;
};

// Number `which` of the kernels that this processor can run, best first; null past the last.
PUBLIC const char *retr_late_kernels(int which);

// All functions below: 0 is well, 1 an unknown name of kernels, 2 no memory.

// Inner products of the query's tokens with `count` rows [count, dim] of numbers plus 128: int32 [count, lanes].
PUBLIC int retr_late_products(const char *kernels, const LateQuery *query, const uint8_t *rows, int64_t count,
                              int32_t *products);

// For the centroids' `products` [count, lanes]: `bases` [count, lanes], what a centroid gives to a token's score,
// gain * product - zero * (sum of the query token); and `table` [count, wide], the products as bytes for the scan.
PUBLIC int retr_late_tables(const char *kernels, const LateQuery *query, const int32_t *products, int64_t count,
                            int64_t gain, int64_t zero, int32_t *bases, uint8_t *table);

// For each document in `rows` (null: 0, 1, 2, …), the sum over query tokens of the largest bases + residuals' product.
// `bases` is [centroids, lanes], or [lanes] where the tokens have no codes.
PUBLIC int retr_late_scores(const char *kernels, const LateQuery *query, const LateTokens *tokens,
                            const int32_t *bases, const int64_t *rows, int64_t count, int64_t *scores);

// For each document, the sum over query tokens of the largest byte that one of its centroids has in `table`.
PUBLIC int retr_late_scan(const char *kernels, int64_t query_tokens, const LateTokens *tokens, const uint8_t *table,
                          const int64_t *rows, int64_t count, uint32_t *scores);

// MaxSim of float32 tokens [offsets[documents], dim] with float32 query tokens [query_tokens, dim].
PUBLIC int retr_late_floats(const char *kernels, const float *query, int64_t query_tokens, const float *tokens,
                            const int64_t *offsets, int64_t documents, int64_t dim, double *scores);

// The places of the `wanted` largest of `scores` [count], which are at most `most`, rising; of equal ones the first.
PUBLIC int retr_late_best(const uint32_t *scores, int64_t count, int64_t most, int64_t wanted, int64_t *places);
