// The forward pass of a BERT-like transformer over texts laid end to end, for one instruction set.
//
// Included by one file an instruction set, which defines beforehand, in its own namespace:
//   W        floats in a vector
//   MR, NV   a tile of the matrix product: rows, and vectors of columns
//   STEP     inputs that one integer step takes together (4 or 2)
//   Weight   how an integer weight is kept (int8_t, or int16_t where 8-bit products would saturate)
//   Input    how a quantised activation is kept (uint8_t, int8_t, or int16_t likewise)
//   SHIFT    what is taken off a quantised activation so that it fits into Input (128 or 0)
//   step     VI step(VI sum, int32_t inputs, const Weight *weights): sum + products of STEP inputs with W columns
// and, where the processor multiplies bfloat16, HALVES with
//   half_step  VF half_step(VF sum, int32_t pair, const uint16_t *columns): sum + products of two inputs with W columns
//   halve      W floats rounded to bfloat16: void halve(uint16_t *to, VF from)
//   pair_up    bfloat16 of two rows side by side: void pair_up(uint16_t *to, VF first, VF second)
// Nothing here may instantiate a standard template: the linker would keep one copy for every processor.

typedef float VF __attribute__((vector_size(4 * W)));
typedef int32_t VI __attribute__((vector_size(4 * W)));

static constexpr int PANEL = NV * W;
static constexpr int ROWS = 16 * MR;  // rows whose activations are kept in the cache together

static inline int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }

static inline VF load(const float *from) {
    VF v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

static inline void store(float *to, VF v) { __builtin_memcpy(to, &v, sizeof v); }

static inline VF all(float value) { return VF{} + value; }

static inline VF larger(VF a, VF b) { return a > b ? a : b; }
static inline VF smaller(VF a, VF b) { return a < b ? a : b; }

static inline float sum_of(VF v) {
    float total = 0;
    for (int i = 0; i < W; i++) total += v[i];
    return total;
}

static inline float largest_of(VF v) {
    float most = v[0];
    for (int i = 1; i < W; i++) most = most > v[i] ? most : v[i];
    return most;
}

// e^x: 2^n times a polynomial of degree 6 in the rest (Taylor's, on at most ln 2 / 2); relative error under 2e-7.
static inline VF exp_of(VF x) {
    x = larger(smaller(x, all(88.0f)), all(-87.0f));
    const VF magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    const VF scaled = x * 1.44269504f + magic;
    const VF n = scaled - magic;
    const VF rest = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    VF p = all(1.0f / 720);
    p = p * rest + 1.0f / 120;
    p = p * rest + 1.0f / 24;
    p = p * rest + 1.0f / 6;
    p = p * rest + 0.5f;
    p = p * rest + 1.0f;
    p = p * rest + 1.0f;
    VI bits;
    __builtin_memcpy(&bits, &scaled, sizeof bits);
    bits = (bits << 23) + 0x3f800000;  // the low bits of `scaled` are n
    VF power;
    __builtin_memcpy(&power, &bits, sizeof power);
    return p * power;
}

// x * Phi(x), with erf by Abramowitz and Stegun 7.1.28: absolute error of erf under 3e-7.
static inline VF gelu(VF x) {
    const VF z = x * 0.70710678f;
    const VF size = z < 0 ? -z : z;
    VF p = all(0.0000430638f);
    p = p * size + 0.0002765672f;
    p = p * size + 0.0001520143f;
    p = p * size + 0.0092705272f;
    p = p * size + 0.0422820123f;
    p = p * size + 0.0705230784f;
    p = p * size + 1.0f;
    p = smaller(p, all(100.0f));  // its 16th power stays finite; 1 / 100^16 is zero beside 1
    p = p * p;
    p = p * p;
    p = p * p;
    p = p * p;
    const VF tail = 0.5f / p;  // 1 - Phi(|x|)
    return x * (z < 0 ? tail : 1.0f - tail);
}

// The approximation by tanh, written with e^x.
static inline VF gelu_tanh(VF x) {
    const VF inner = 1.59576912f * (x + 0.044715f * x * x * x);
    return x / (1.0f + exp_of(-inner));
}

static inline VF activate(VF x, Activation kind) {
    if (kind == GELU) return gelu(x);
    if (kind == GELU_TANH) return gelu_tanh(x);
    return larger(x, all(0));
}

// ---- Packing: panels of PANEL columns; within one, STEP inputs of each column together (floats: one).

static size_t pack_bytes(int inputs, int outputs, bool integers) {
    const size_t columns = round_up(outputs, PANEL);
    return integers ? columns * round_up(inputs, STEP) * sizeof(Weight) : columns * inputs * sizeof(float);
}

static void pack(const void *weight, int inputs, int outputs, bool integers, void *panels) {
    const int rows = integers ? round_up(inputs, STEP) : inputs;
    const int step_size = integers ? STEP : 1;
    size_t at = 0;
    for (int first = 0; first < outputs; first += PANEL)
        for (int row = 0; row < rows; row += step_size)
            for (int column = first; column < first + PANEL; column++)
                for (int inner = row; inner < row + step_size; inner++, at++) {
                    const bool real = column < outputs && inner < inputs;
                    const size_t from = size_t(inner) * outputs + column;
                    if (integers)
                        static_cast<Weight *>(panels)[at] = real ? static_cast<const int8_t *>(weight)[from] : 0;
                    else
                        static_cast<float *>(panels)[at] = real ? static_cast<const float *>(weight)[from] : 0;
                }
}

// ---- Matrix products: one tile of R rows and V vectors of columns, kept in registers.

template <int R, int V>
static inline void float_tile(const float *a, size_t a_stride, const float *b, size_t b_stride, int depth, VF (&c)[R][V]) {
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) c[r][v] = VF{};
    for (int k = 0; k < depth; k++) {
        VF columns[V];
        for (int v = 0; v < V; v++) columns[v] = load(b + k * b_stride + v * W);
        for (int r = 0; r < R; r++) {
            const VF value = all(a[r * a_stride + k]);
            for (int v = 0; v < V; v++) c[r][v] += value * columns[v];
        }
    }
}

template <int R, int V>
static inline void integer_tile(const Input *a, size_t a_stride, const Weight *b, int steps, VI (&c)[R][V]) {
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) c[r][v] = VI{};
    for (int k = 0; k < steps; k++) {
        const Weight *columns = b + size_t(k) * PANEL * STEP;
        for (int r = 0; r < R; r++) {
            int32_t inputs;
            __builtin_memcpy(&inputs, a + r * a_stride + k * STEP, sizeof inputs);
            for (int v = 0; v < V; v++) c[r][v] = step(c[r][v], inputs, columns + v * W * STEP);
        }
    }
}

// ---- Linear layers.

enum After { NOTHING, ACTIVATE, ADD };

// Quantised rows: value = scale * number + least.
struct Rows {
    Input *numbers;
    size_t stride;
    float *scale, *least;
};

static void quantise(const float *x, size_t x_stride, int rows, int inputs, Rows out) {
    for (int r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        float least = from[0], most = from[0];
        int i = 0;
        if (inputs >= W) {
            VF low = load(from), high = low;
            for (i = W; i + W <= inputs; i += W) {
                const VF v = load(from + i);
                low = smaller(low, v), high = larger(high, v);
            }
            least = -largest_of(-low), most = largest_of(high);
        }
        for (; i < inputs; i++) least = from[i] < least ? from[i] : least, most = from[i] > most ? from[i] : most;
        const float range = most - least;
        const float inverse = range > 0 ? 255.0f / range : 0.0f;
        out.scale[r] = range / 255.0f, out.least[r] = least + SHIFT * out.scale[r];
        Input *to = out.numbers + r * out.stride;
        for (i = 0; i + W <= inputs; i += W) {
            const VI whole = __builtin_convertvector((load(from + i) - least) * inverse + 0.5f, VI) - SHIFT;
            typedef Input Small __attribute__((vector_size(W * sizeof(Input))));
            const Small small = __builtin_convertvector(whole, Small);
            __builtin_memcpy(to + i, &small, sizeof small);
        }
        for (; i < inputs; i++) to[i] = Input(int((from[i] - least) * inverse + 0.5f) - SHIFT);
        for (; i < round_up(inputs, STEP); i++) to[i] = 0;
    }
}

// A finished tile: bias, then what follows, then the columns that exist are stored.
template <int R, int V>
static inline void finish(VF (&c)[R][V], const Linear &linear, int column, float *y, size_t y_stride, After after,
                          Activation kind) {
    const bool whole = column + V * W <= linear.outputs;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) {
            VF value = c[r][v] + load(linear.bias + column + v * W);
            if (after == ACTIVATE) value = activate(value, kind);
            float *to = y + r * y_stride + column + v * W;
            if (whole) {
                if (after == ADD) value += load(to);
                store(to, value);
                continue;
            }
            for (int i = 0; i < W && column + v * W + i < linear.outputs; i++)
                to[i] = after == ADD ? to[i] + value[i] : value[i];
        }
}

template <int R>
static inline void integer_rows(const Rows &rows, int row, const Linear &linear, int column, const Weight *panel, float *y,
                                size_t y_stride, After after, Activation kind) {
    VI sums[R][NV];
    integer_tile<R, NV>(rows.numbers + row * rows.stride, rows.stride, panel, round_up(linear.inputs, STEP) / STEP, sums);
    VF c[R][NV];
    for (int v = 0; v < NV; v++) {
        const VF scale = load(linear.scale + column + v * W), columns = load(linear.columns + column + v * W);
        for (int r = 0; r < R; r++)
            c[r][v] = __builtin_convertvector(sums[r][v], VF) * (scale * rows.scale[row + r]) + columns * rows.least[row + r];
    }
    finish<R, NV>(c, linear, column, y + row * y_stride, y_stride, after, kind);
}

template <int R>
static inline void float_rows(const float *x, size_t x_stride, const Linear &linear, int column, const float *panel, float *y,
                              size_t y_stride, After after, Activation kind) {
    VF c[R][NV];
    float_tile<R, NV>(x, x_stride, panel, PANEL, linear.inputs, c);
    finish<R, NV>(c, linear, column, y, y_stride, after, kind);
}

// y = after(x @ weight + bias) for up to ROWS rows; `quantised` holds x where the layer is in integers.
static void apply(const Linear &linear, const float *x, size_t x_stride, const Rows &quantised, int rows, float *y,
                  size_t y_stride, After after, Activation kind) {
    for (int column = 0; column < linear.outputs; column += PANEL) {
        const size_t block = size_t(column / PANEL);
        for (int row = 0; row < rows;) {
            const int left = rows - row;
            if (linear.scale) {
                const Weight *panel = static_cast<const Weight *>(linear.panels) + block * PANEL * round_up(linear.inputs, STEP);
#define ROW_CASE(N) integer_rows<N>(quantised, row, linear, column, panel, y, y_stride, after, kind)
                if (left >= MR) ROW_CASE(MR), row += MR;
                else if (left >= 4) ROW_CASE(4), row += 4;
                else if (left >= 2) ROW_CASE(2), row += 2;
                else ROW_CASE(1), row += 1;
#undef ROW_CASE
            } else {
                const float *panel = static_cast<const float *>(linear.panels) + block * PANEL * linear.inputs;
#define ROW_CASE(N) float_rows<N>(x + row * x_stride, x_stride, linear, column, panel, y + row * y_stride, y_stride, after, kind)
                if (left >= MR) ROW_CASE(MR), row += MR;
                else if (left >= 4) ROW_CASE(4), row += 4;
                else if (left >= 2) ROW_CASE(2), row += 2;
                else ROW_CASE(1), row += 1;
#undef ROW_CASE
            }
        }
    }
}

// In place; mean and variance over each row, as in the original: (x - mean) / sqrt(variance + epsilon).
static void normalise(float *x, int rows, int dim, const Norm &norm, float epsilon) {
    for (int r = 0; r < rows; r++) {
        float *row = x + size_t(r) * dim;
        VF sums = VF{};
        float total = 0;
        int i = 0;
        for (; i + W <= dim; i += W) sums += load(row + i);
        for (; i < dim; i++) total += row[i];
        const float mean = (sum_of(sums) + total) / dim;
        VF squares = VF{};
        float spread = 0;
        for (i = 0; i + W <= dim; i += W) {
            const VF far = load(row + i) - mean;
            squares += far * far;
        }
        for (; i < dim; i++) spread += (row[i] - mean) * (row[i] - mean);
        const float inverse = 1.0f / __builtin_sqrtf((sum_of(squares) + spread) / dim + epsilon);
        for (i = 0; i + W <= dim; i += W)
            store(row + i, (load(row + i) - mean) * inverse * load(norm.weight + i) + load(norm.bias + i));
        for (; i < dim; i++) row[i] = (row[i] - mean) * inverse * norm.weight[i] + norm.bias[i];
    }
}

// ---- Transposing W vectors in place: at every stage, pairs of vectors swap the halves of their blocks.

template <int STAGE, int... LANES>
static inline void swap_blocks(VF &a, VF &b, std::integer_sequence<int, LANES...>) {
    const VF low = __builtin_shufflevector(a, b, (LANES & STAGE ? LANES - STAGE + W : LANES)...);
    b = __builtin_shufflevector(a, b, (LANES & STAGE ? LANES + W : LANES + STAGE)...);
    a = low;
}

template <int STAGE>
static inline void transpose_from(VF (&rows)[W]) {
    for (int i = 0; i < W; i++)
        if (!(i & STAGE)) swap_blocks<STAGE>(rows[i], rows[i + STAGE], std::make_integer_sequence<int, W>());
    if constexpr (STAGE > 1) transpose_from<STAGE / 2>(rows);
}

// ---- Attention of one head over one text: softmax(q k' / sqrt(size)) v.

struct HeadSpace {
    float *keys;      // panels of PANEL tokens, [size] rows each
    float *values;    // [tokens, size rounded up to W]
    float *scores;    // [MR, tokens rounded up to PANEL]
    uint16_t *query;  // [MR, size], where attention is in bfloat16
};

#ifdef HALVES
template <int R, int V>
static inline void half_tile(const uint16_t *a, size_t a_stride, const uint16_t *b, size_t b_stride, int pairs, VF (&c)[R][V]) {
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) c[r][v] = VF{};
    for (int k = 0; k < pairs; k++)
        for (int r = 0; r < R; r++) {
            int32_t pair;
            __builtin_memcpy(&pair, a + r * a_stride + 2 * k, sizeof pair);
            for (int v = 0; v < V; v++) c[r][v] = half_step(c[r][v], pair, b + k * b_stride + v * 2 * W);
        }
}
#endif

// One tile of attention's two products. `depth` counts inputs; strides are in floats, which hold two bfloat16 each.
template <int R, int V, bool HALF>
static inline void tile(const float *a, size_t a_stride, const float *b, size_t b_stride, int depth, VF (&c)[R][V]) {
#ifdef HALVES
    if constexpr (HALF)
        half_tile<R, V>(reinterpret_cast<const uint16_t *>(a), 2 * a_stride, reinterpret_cast<const uint16_t *>(b), 2 * b_stride,
                        (depth + 1) / 2, c);
#endif
    if constexpr (!HALF) float_tile<R, V>(a, a_stride, b, b_stride, depth, c);
}

template <int R, bool HALF>
static inline void score_rows(const float *q, size_t stride, const HeadSpace &space, int size, int tokens, int wide) {
    for (int first = 0; first < tokens; first += PANEL) {
        const float *panel = space.keys + size_t(first) * (HALF ? size / 2 : size);
        const int vectors = (tokens - first + W - 1) / W;
#define COLUMN_CASE(N)                                                                                          \
    {                                                                                                           \
        VF c[R][N];                                                                                             \
        tile<R, N, HALF>(q, stride, panel, PANEL, size, c);                                                     \
        for (int r = 0; r < R; r++)                                                                             \
            for (int v = 0; v < N; v++) store(space.scores + size_t(r) * wide + first + v * W, c[r][v]);        \
    }
        if (vectors >= NV) COLUMN_CASE(NV)
        else if (NV > 2 && vectors == 3) COLUMN_CASE(3)
        else if (vectors == 2) COLUMN_CASE(2)
        else COLUMN_CASE(1)
#undef COLUMN_CASE
    }
}

// What a text sees besides itself: keys with `stride` floats between tokens, and values `dim` floats behind each key.
struct Others {
    const float *keys = nullptr;
    size_t stride = 0;
    int tokens = 0;
};

// Where a text's own columns begin, behind those of the others: at a whole vector. Between them lies a gap.
static inline int own_column(const Others &others) { return round_up(others.tokens, W); }

// Scores to weights that do not sum to one yet; gives one over their sum. What is beyond `tokens` becomes zero.
// With HALF the weights are written as bfloat16, from the same place on.
template <bool HALF>
static inline float soften(float *scores, int tokens) {
    const int wide = round_up(tokens, W);
    for (int i = tokens; i < wide; i++) scores[i] = -1e30f;  // e to this is set to zero below
    VF most = load(scores);
    for (int i = W; i < wide; i += W) most = larger(most, load(scores + i));
    const float peak = largest_of(most);
    VF sums = VF{};
    for (int i = 0; i < wide; i += W) {
        const VF below = load(scores + i) - peak;
        const VF weight = below > -80.0f ? exp_of(below) : VF{};
        sums += weight;
#ifdef HALVES
        if constexpr (HALF) halve(reinterpret_cast<uint16_t *>(scores) + i, weight);
#endif
        if constexpr (!HALF) store(scores + i, weight);
    }
    return 1.0f / sum_of(sums);
}

template <int R, bool HALF>
static inline void mix_rows(const HeadSpace &space, const float (&inverse)[MR], int size, int tokens, int wide, float *out,
                            size_t out_stride) {
    const int padded = round_up(size, W);
    for (int first = 0; first < size; first += 2 * W) {
#define COLUMN_CASE(N)                                                                                          \
    {                                                                                                           \
        VF c[R][N];                                                                                             \
        tile<R, N, HALF>(space.scores, wide, space.values + first, padded, tokens, c);                          \
        for (int r = 0; r < R; r++)                                                                             \
            for (int v = 0; v < N; v++) {                                                                       \
                const VF value = c[r][v] * inverse[r];                                                          \
                float *to = out + r * out_stride + first + v * W;                                               \
                if (first + (v + 1) * W <= size) store(to, value);                                              \
                else for (int i = 0; first + v * W + i < size; i++) to[i] = value[i];                           \
            }                                                                                                   \
    }
        if (size - first > W) COLUMN_CASE(2)
        else COLUMN_CASE(1)
#undef COLUMN_CASE
    }
}

template <int R, bool HALF>
static inline void attend_rows(const Model &model, const float *q, size_t stride, int head, int row, const HeadSpace &space,
                               int size, int tokens, const Others &others, float *out) {
    const int wide = round_up(tokens, PANEL);
#ifdef HALVES
    if constexpr (HALF) {
        for (int r = 0; r < R; r++)
            for (int d = 0; d < size; d += W) halve(space.query + r * size + d, load(q + r * stride + d));
        q = reinterpret_cast<const float *>(space.query), stride = size / 2;
    }
#endif
    score_rows<R, HALF>(q, stride, space, size, tokens, wide);
    float inverse[MR];
    for (int r = 0; r < R; r++) {
        float *scores = space.scores + size_t(r) * wide;
        if (model.relative)
            for (int j = 0; j < tokens; j++) scores[j] += model.relative[size_t(j - (row + r) + model.reach) * model.heads + head];
        for (int j = others.tokens; j < own_column(others); j++) scores[j] = -1e30f;
        inverse[r] = soften<HALF>(scores, tokens);
    }
    mix_rows<R, HALF>(space, inverse, size, tokens, wide, out, model.dim);
}

// The keys of one text as panels: tokens side by side, from the column `base` on, which is a multiple of W.
static void lay_keys(const float *keys, size_t stride, int tokens, int size, int base, float *panels) {
    const float root = 1.0f / __builtin_sqrtf(float(size));
    for (int first = 0; first < tokens; first += W) {
        float *columns = panels + size_t((base + first) / PANEL) * PANEL * size + (base + first) % PANEL;
        const int count = tokens - first < W ? tokens - first : W;
        int d = 0;
        for (; d + W <= size; d += W) {
            VF rows[W];
            for (int j = 0; j < W; j++) rows[j] = j < count ? load(keys + (first + j) * stride + d) * root : VF{};
            transpose_from<W / 2>(rows);
            for (int i = 0; i < W; i++) store(columns + size_t(d + i) * PANEL, rows[i]);
        }
        for (; d < size; d++)
            for (int j = 0; j < W; j++) columns[size_t(d) * PANEL + j] = j < count ? keys[(first + j) * stride + d] * root : 0;
    }
}

static void lay_values(const float *values, size_t stride, int tokens, int size, float *rows) {
    const int padded = round_up(size, W);
    for (int j = 0; j < tokens; j++) {
        __builtin_memcpy(rows + size_t(j) * padded, values + j * stride, size * sizeof(float));
        for (int d = size; d < padded; d++) rows[size_t(j) * padded + d] = 0;
    }
}

#ifdef HALVES
// The same in bfloat16, two inputs of a token together; `size` is a multiple of 2 * W.
static void lay_half_keys(const float *keys, size_t stride, int tokens, int size, int base, float *panels) {
    const float root = 1.0f / __builtin_sqrtf(float(size));
    for (int first = 0; first < tokens; first += W) {
        float *columns = panels + size_t((base + first) / PANEL) * PANEL * (size / 2) + (base + first) % PANEL;
        const int count = tokens - first < W ? tokens - first : W;
        for (int d = 0; d < size; d += 2 * W) {
            VF rows[W];
            for (int j = 0; j < W; j++) {
                rows[j] = VF{};
                if (j >= count) continue;
                const float *from = keys + (first + j) * stride + d;
                uint16_t *to = reinterpret_cast<uint16_t *>(&rows[j]);
                halve(to, load(from) * root), halve(to + W, load(from + W) * root);
            }
            transpose_from<W / 2>(rows);
            for (int i = 0; i < W; i++) store(columns + size_t(d / 2 + i) * PANEL, rows[i]);
        }
    }
}

// Two tokens of a column together.
static void lay_half_values(const float *values, size_t stride, int tokens, int size, float *rows) {
    for (int j = 0; j < tokens; j += 2)
        for (int d = 0; d < size; d += W) {
            const float *from = values + j * stride + d;
            pair_up(reinterpret_cast<uint16_t *>(rows + size_t(j / 2) * size + d), load(from),
                    j + 1 < tokens ? load(from + stride) : VF{});
        }
}
#endif

// Keys and values of some tokens from the column `base` on.
template <bool HALF>
static void lay(const float *keys, const float *values, size_t stride, int tokens, int size, int base, const HeadSpace &space) {
#ifdef HALVES
    if constexpr (HALF) {
        lay_half_keys(keys, stride, tokens, size, base, space.keys);
        lay_half_values(values, stride, tokens, size, space.values + size_t(base / 2) * size);
    }
#endif
    if constexpr (!HALF) {
        lay_keys(keys, stride, tokens, size, base, space.keys);
        lay_values(values, stride, tokens, size, space.values + size_t(base) * round_up(size, W));
    }
}

// The others' columns, and zeros as the gap's values: its weights are zero, but what is not a number would stay so.
template <bool HALF>
static void lay_others(const Model &model, const Others &others, int head, int size, const HeadSpace &space) {
    const float *keys = others.keys + head * size;
    lay<HALF>(keys, keys + model.dim, others.stride, others.tokens, size, 0, space);
    const int used = HALF ? (others.tokens + 1) / 2 : others.tokens, all = HALF ? own_column(others) / 2 : own_column(others);
    const int padded = HALF ? size : round_up(size, W);
    for (size_t i = size_t(used) * padded; i < size_t(all) * padded; i++) space.values[i] = 0;
}

// One head over one text: `qkv` [tokens, 3 * dim], `out` [tokens, dim].
template <bool HALF>
static void attend(const Model &model, const float *qkv, int own, int head, const Others &others, const HeadSpace &space,
                   float *out) {
    const int size = model.dim / model.heads;
    const size_t stride = 3 * size_t(model.dim);
    const float *keys = qkv + model.dim + head * size;
    if (others.tokens) lay_others<HALF>(model, others, head, size, space);
    lay<HALF>(keys, keys + model.dim, stride, own, size, own_column(others), space);
    const int tokens = own_column(others) + own;
    const float *q = qkv + head * size;
    float *to = out + head * size;
    for (int row = 0; row < own;) {
        const int left = own - row;
#define ROW_CASE(N) attend_rows<N, HALF>(model, q + row * stride, stride, head, row, space, size, tokens, others, to + size_t(row) * model.dim)
        if (left >= MR) ROW_CASE(MR), row += MR;
        else if (left >= 4) ROW_CASE(4), row += 4;
        else if (left >= 2) ROW_CASE(2), row += 2;
        else ROW_CASE(1), row += 1;
#undef ROW_CASE
    }
}

// ---- The whole.

struct Scratch {
    float *qkv, *mixed, *wide;  // [tokens, 3 * dim], [tokens, dim], [ROWS, wide]
    Rows quantised;
    HeadSpace head;
};

struct Carver {
    char *at;
    size_t used;
    template <class T>
    T *take(size_t count) {
        T *here = reinterpret_cast<T *>(at + used);
        used += (count * sizeof(T) + 127) / 128 * 128;
        return here;
    }
};

static size_t carve(const Model &model, int64_t tokens, int64_t longest, void *memory, Scratch &out) {
    Carver carver{static_cast<char *>(memory), 0};
    const int size = model.dim / model.heads, inputs = model.wide > model.dim ? model.wide : model.dim;
    const size_t panels = round_up(int(longest), PANEL);
    out.qkv = carver.take<float>(tokens * 3 * model.dim + W);
    out.mixed = carver.take<float>(tokens * model.dim + W);
    out.wide = carver.take<float>(size_t(ROWS) * model.wide + W);
    out.quantised.stride = round_up(inputs, 64);
    out.quantised.numbers = carver.take<Input>(ROWS * out.quantised.stride);
    out.quantised.scale = carver.take<float>(ROWS);
    out.quantised.least = carver.take<float>(ROWS);
    out.head.keys = carver.take<float>(panels * size);
    out.head.values = carver.take<float>((longest + 1) * round_up(size, W));
    out.head.scores = carver.take<float>(MR * panels);
    out.head.query = carver.take<uint16_t>(MR * size);
    return carver.used;
}

static size_t scratch_bytes(const Model &model, int64_t tokens, int64_t longest) {
    Scratch unused;
    return carve(model, tokens, longest, nullptr, unused);
}

static void embed(const Model &model, const Batch &batch, float *x) {
    const int dim = model.dim;
    for (int64_t text = 0; text < batch.texts; text++)
        for (int64_t token = batch.offsets[text]; token < batch.offsets[text + 1]; token++) {
            float *row = x + token * dim;
            const int64_t id = batch.ids[token];
            const int64_t position = batch.positions ? batch.positions[token] : token - batch.offsets[text];
            const float *place = model.position_rows + position * dim;
            if (model.word_floats)
                for (int i = 0; i < dim; i++) row[i] = model.word_floats[id * dim + i] + place[i];
            else
                for (int i = 0; i < dim; i++) row[i] = model.word_bytes[id * dim + i] * model.word_scale[id] + place[i];
            if (model.type_rows) {
                const float *type = model.type_rows + (batch.segments ? batch.segments[token] : 0) * dim;
                for (int i = 0; i < dim; i++) row[i] += type[i];
            }
        }
}

// What a text of this layer sees besides itself.
static Others others_of(const Model &model, const Batch &batch, const float *qkv, int layer, int64_t text) {
    const size_t dim = size_t(model.dim);
    if (batch.kept) return {batch.kept + size_t(layer) * batch.kept_tokens * 2 * dim, 2 * dim, int(batch.kept_tokens)};
    if (!batch.arrow) return {};
    const int64_t context = batch.offsets[1], all = batch.offsets[batch.texts];
    if (text) return {qkv + dim, 3 * dim, int(context)};
    return {qkv + context * 3 * dim + dim, 3 * dim, int(all - context)};
}

static inline bool in_integers(const Linear &a, const Linear &b, const Linear &c) { return a.scale || b.scale || c.scale; }

static void run(const Model &model, const Batch &batch, float *x, void *memory) {
    Scratch space;
    const int64_t tokens = batch.offsets[batch.texts];
    carve(model, tokens, longest_sight(batch), memory, space);
    void (*attention)(const Model &, const float *, int, int, const Others &, const HeadSpace &, float *) = attend<false>;
#ifdef HALVES
    if (model.half_attention && model.dim / model.heads % (2 * W) == 0) attention = attend<true>;
#endif
    const int dim = model.dim;
    embed(model, batch, x);
    normalise(x, int(tokens), dim, model.norm, model.epsilon);
    for (int l = 0; l < model.layers; l++) {
        const Layer &layer = model.layer[l];
        for (int64_t first = 0; first < tokens; first += ROWS) {
            const int rows = int(tokens - first < ROWS ? tokens - first : ROWS);
            const float *from = x + first * dim;
            float *to = space.qkv + first * 3 * dim;
            if (in_integers(layer.query, layer.key, layer.value)) quantise(from, dim, rows, dim, space.quantised);
            apply(layer.query, from, dim, space.quantised, rows, to, 3 * dim, NOTHING, model.activation);
            apply(layer.key, from, dim, space.quantised, rows, to + dim, 3 * dim, NOTHING, model.activation);
            apply(layer.value, from, dim, space.quantised, rows, to + 2 * dim, 3 * dim, NOTHING, model.activation);
        }
        if (batch.record)
            for (int64_t token = 0; token < tokens; token++)
                __builtin_memcpy(batch.record + (l * tokens + token) * 2 * dim, space.qkv + (token * 3 + 1) * dim,
                                 2 * dim * sizeof(float));
        for (int64_t text = 0; text < batch.texts; text++) {
            const int64_t start = batch.offsets[text];
            const Others others = others_of(model, batch, space.qkv, l, text);
            for (int head = 0; head < model.heads; head++)
                attention(model, space.qkv + start * 3 * dim, int(batch.offsets[text + 1] - start), head, others,
                          space.head, space.mixed + start * dim);
        }
        for (int64_t first = 0; first < tokens; first += ROWS) {
            const int rows = int(tokens - first < ROWS ? tokens - first : ROWS);
            float *here = x + first * dim;
            const float *mixed = space.mixed + first * dim;
            if (layer.out.scale) quantise(mixed, dim, rows, dim, space.quantised);
            apply(layer.out, mixed, dim, space.quantised, rows, here, dim, ADD, model.activation);
            normalise(here, rows, dim, layer.out_norm, model.epsilon);
            if (layer.up.scale) quantise(here, dim, rows, dim, space.quantised);
            apply(layer.up, here, dim, space.quantised, rows, space.wide, model.wide, ACTIVATE, model.activation);
            if (layer.down.scale) quantise(space.wide, model.wide, rows, model.wide, space.quantised);
            apply(layer.down, space.wide, model.wide, space.quantised, rows, here, dim, ADD, model.activation);
            normalise(here, rows, dim, layer.down_norm, model.epsilon);
        }
    }
}
