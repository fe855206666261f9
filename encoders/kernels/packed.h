// The C interface to the kernels.
#pragma once
#include <cstdint>

#define PUBLIC extern "C" __attribute__((visibility("default")))

// One layer's or model's matrices as they come: `weight` [inputs, outputs], float32, or int8 where `scale` is given.
struct GivenLinear {
    const void *weight;
    const float *bias, *scale;
    int64_t inputs, outputs;
};

struct GivenLayer {
    GivenLinear linears[6];  // query, key, value, out, up, down
    const float *norms[4];   // weight and bias after attention, weight and bias at the end
};

struct GivenModel {
    int64_t dim, wide, heads, layers, words, positions, types, activation, reach, half_attention;
    double epsilon;
    const void *word_rows;
    const float *word_scale, *position_rows, *type_rows, *relative, *norm_weight, *norm_bias;
    const GivenLayer *layer;
};

// Number `which` of the kernels that this processor can run, best first; null past the last.
PUBLIC const char *retr_kernels(int which);

// A model with its weights copied and packed, or null where memory is short or `kernels` names none.
PUBLIC void *retr_open(const GivenModel *given, const char *kernels);

// Texts end to end to `states` [tokens, dim]. 0 is well; 1 a token or segment out of range; 2 a text too long; 3 memory.
PUBLIC int retr_run(void *opened, const int64_t *ids, const int64_t *segments, const int64_t *offsets, int64_t texts,
                    float *states);

// Texts that see more than themselves; see `Batch` in plan.h. Not for models with a bias by relative position.
struct GivenRows {
    const int64_t *ids, *segments, *positions, *offsets;
    int64_t texts, kept_tokens, arrow;
    const float *kept;
    float *record, *states;
};

// As `retr_run`; 2 is a position that the model does not have, 4 a model with a bias by relative position.
PUBLIC int retr_run_rows(void *opened, const GivenRows *given);

PUBLIC void retr_close(void *opened);
