// What a transformer is made of, as every instruction set's code reads it. Plain data; what code there is is static, since
// the linker would keep one copy for every processor.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

// Clang offers ARM's dot products only where the whole build may use them, as on Apple's processors.
#if defined(__aarch64__) && (!defined(__clang__) || defined(__ARM_FEATURE_DOTPROD))
#define RETR_NEON_DOT
#endif

namespace retr {

// x @ weight + bias. Packed into panels of columns; see `pack` in transformer.inl for the order.
struct Linear {
    int inputs = 0, outputs = 0;
    const void *panels = nullptr;     // float, or integers where `scale` is given
    const float *bias = nullptr;      // [outputs rounded up to a panel]
    const float *scale = nullptr;     // int8: one a column, else null
    const float *columns = nullptr;   // int8: sum of a column's weights times its scale
};

struct Norm {
    const float *weight = nullptr, *bias = nullptr;
};

struct Layer {
    Linear query, key, value, out, up, down;
    Norm out_norm, down_norm;
};

enum Activation : int { GELU = 0, GELU_TANH = 1, RELU = 2 };

struct Model {
    int dim = 0, wide = 0, heads = 0, layers = 0, words = 0, positions = 0, types = 0;
    Activation activation = GELU;
    float epsilon = 1e-12f;
    const float *word_floats = nullptr;    // [words, dim], or
    const int8_t *word_bytes = nullptr;    // [words, dim] with
    const float *word_scale = nullptr;     // [words]
    const float *position_rows = nullptr;  // [positions, dim]
    const float *type_rows = nullptr;      // [types, dim] or null
    const float *relative = nullptr;       // [2 * reach + 1, heads] by distance, or null
    int reach = 0;
    bool half_attention = false;           // attention may be computed in bfloat16
    Norm norm;
    const Layer *layer = nullptr;          // [layers]
};

// Texts end to end: `ids`, `segments` and `positions` [tokens], `offsets` [texts + 1]. `segments` may be null for
// zeros, `positions` for those of each text alone. A text sees itself, and besides:
//   with `kept` [layers, kept_tokens, 2 * dim], the keys and values of a context that was run earlier with `record`;
//   with `arrow`, the first text sees every other, and every other the first.
// `record` [layers, tokens, 2 * dim] receives the keys and values of this run.
struct Batch {
    const int64_t *ids = nullptr, *segments = nullptr, *offsets = nullptr;
    int64_t texts = 0;
    const int64_t *positions = nullptr;
    float *record = nullptr;
    const float *kept = nullptr;
    int64_t kept_tokens = 0;
    bool arrow = false;
};

// Tokens of the longest sight: a text and what it sees besides, at most a vector (16 floats) apart.
static inline int64_t longest_sight(const Batch &batch) {
    const int64_t first = batch.texts ? batch.offsets[1] : 0, all = batch.offsets[batch.texts];
    int64_t longest = 0;
    for (int64_t text = 0; text < batch.texts; text++) {
        const int64_t own = batch.offsets[text + 1] - batch.offsets[text];
        const int64_t others = !batch.arrow ? batch.kept_tokens : text ? first : all - first;
        const int64_t sight = own + (others ? others + 16 : 0);
        longest = sight > longest ? sight : longest;
    }
    return longest;
}

// One instruction set. `pack_bytes` says how many bytes `pack` writes; `scratch_bytes` how many `run` needs.
struct Kernels {
    const char *name;
    size_t (*pack_bytes)(int inputs, int outputs, bool integers);
    void (*pack)(const void *weight, int inputs, int outputs, bool integers, void *panels);
    int panel;  // columns of a panel
    size_t (*scratch_bytes)(const Model &model, int64_t tokens, int64_t longest);
    void (*run)(const Model &model, const Batch &batch, float *states, void *scratch);
};

}  // namespace retr
