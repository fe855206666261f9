// MaxSim (Khattab and Zaharia, 2020) over coded tokens, for one instruction set.
//
// Query tokens stand in the lanes of vectors and a document's tokens pass one after the other, so the largest over the
// document is a largest lane by lane, and nothing is ever added up across lanes before the document's end.
//
// Included by one file an instruction set, which defines beforehand, in its own namespace:
//   W, V     query tokens in a vector, and vectors of a tile (V * W divides 32)
//   STEP     numbers that one integer step takes together (4 or 2); 4 bytes of Number
//   Number   how a document's number is expanded (uint8_t, int8_t, or int16_t where 8-bit products would saturate)
//   Lane     how a query's number is kept (int8_t or int16_t)
//   SHIFT    what is taken off a document's number so that it fits into Number (128 or 0)
//   step     VI step(VI sum, int32_t numbers, const Lane *queries): sum + products of STEP numbers with W query tokens
//   look_up  void look_up(const uint8_t *table, const uint8_t *codes, int shift, int mask, uint8_t *to, int64_t count):
//            to[i] = table[(codes[i] >> shift) & mask], the table of 16 bytes
// Nothing here may instantiate a standard template: the linker would keep one copy for every processor.

typedef int32_t VI __attribute__((vector_size(4 * W)));
typedef float VF __attribute__((vector_size(4 * W)));
typedef uint8_t VB __attribute__((vector_size(BYTES)));
typedef uint16_t VH __attribute__((vector_size(BYTES)));
typedef uint32_t VW __attribute__((vector_size(BYTES)));
typedef uint64_t VD __attribute__((vector_size(BYTES)));

static constexpr int R = 4;  // document tokens in flight

template <class T>
static inline T load(const void *from) {
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

template <class T>
static inline void store(void *to, T value) {
    __builtin_memcpy(to, &value, sizeof value);
}

template <class T>
static inline T *taken(char *&scratch, int64_t count) {
    scratch = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64);
    T *here = reinterpret_cast<T *>(scratch);
    scratch += count * int64_t(sizeof(T));
    return here;
}

// ---- The query: blocks of BLOCK tokens; within one, STEP numbers of each token together. Sums of each token's numbers.

struct Packed {
    const Lane *numbers;
    const int32_t *sums;  // [lanes]
    int64_t lanes, steps;
};

static Packed pack(const LateQuery &query, char *&scratch) {
    Packed made;
    made.lanes = round_up(query.count, BLOCK), made.steps = query.dim / STEP;
    Lane *to = taken<Lane>(scratch, made.lanes * query.dim);
    int32_t *sums = taken<int32_t>(scratch, made.lanes);
    made.numbers = to, made.sums = sums;
    for (int64_t lane = 0; lane < made.lanes; lane++) {
        sums[lane] = 0;
        Lane *block = to + lane / BLOCK * BLOCK * query.dim + lane % BLOCK * STEP;
        for (int64_t i = 0; i < query.dim; i++) {
            const int8_t number = lane < query.count ? query.numbers[lane * query.dim + i] : int8_t(0);
            block[i / STEP * BLOCK * STEP + i % STEP] = number;
            sums[lane] += number;
        }
    }
    return made;
}

// Where the numbers of W query tokens from `lane` on begin.
static inline const Lane *queries_at(const Packed &query, int64_t lane) {
    return query.numbers + lane / BLOCK * BLOCK * STEP * query.steps + lane % BLOCK * STEP;
}

// Products of R document tokens with N vectors of query tokens, added to `sums`.
template <int N>
static inline void multiply(const Number *const (&tokens)[R], const Packed &query, int64_t lane, VI (&sums)[R][N]) {
    const Lane *columns[N];
    for (int n = 0; n < N; n++) columns[n] = queries_at(query, lane + n * W);
    for (int64_t s = 0; s < query.steps; s++)
        for (int r = 0; r < R; r++) {
            const int32_t numbers = load<int32_t>(tokens[r] + s * STEP);
            for (int n = 0; n < N; n++) sums[r][n] = step(sums[r][n], numbers, columns[n] + s * BLOCK * STEP);
        }
}

// What SHIFT took off comes back here.
template <int N>
static inline void begin(const int32_t *const (&bases)[R], const Packed &query, int64_t lane, VI (&sums)[R][N]) {
    for (int n = 0; n < N; n++)
        for (int r = 0; r < R; r++) {
            sums[r][n] = load<VI>(bases[r] + lane + n * W);
            if (SHIFT) sums[r][n] += load<VI>(query.sums + lane + n * W) * SHIFT;
        }
}

// ---- A document's tokens as Numbers.

static inline void widen(const uint8_t *from, int64_t count, Number *to) {
    for (int64_t i = 0; i < count; i++) to[i] = Number(int(from[i]) - SHIFT);
}

// One token's numbers; `bytes` has room for dim.
static inline void expand(const LateTokens &tokens, int64_t token, uint8_t *bytes, Number *to) {
    const int64_t dim = tokens.dim, bits = tokens.bits;
    const uint8_t *from = tokens.residuals + token * (dim * bits / 8);
    if (bits == 8) return widen(from, dim, to);
    const int64_t planes = 8 / bits, width = dim / planes;
    const int64_t table = tokens.codes ? tokens.codes[token] & ((1 << tokens.shift) - 1) : 0;
    uint8_t *out = sizeof(Number) == 1 && !SHIFT ? reinterpret_cast<uint8_t *>(to) : bytes;
    for (int64_t plane = 0; plane < planes; plane++)
        look_up(tokens.levels + table * 16, from, int(plane * bits), (1 << bits) - 1, out + plane * width, width);
    if (out == bytes) widen(bytes, dim, to);
}

template <int N>
static inline void raise(const Number *const *tokens, const int32_t *const *bases, int64_t count, const Packed &query,
                         int64_t lane, int32_t *best) {
    VI most[N];
    for (int n = 0; n < N; n++) most[n] = load<VI>(best + lane + n * W);
    for (int64_t first = 0; first < count; first += R) {
        const Number *some[R];
        const int32_t *from[R];
        for (int r = 0; r < R; r++) {  // the last token stands in for those that are missing: a maximum does not mind
            const int64_t at = first + r < count ? first + r : count - 1;
            some[r] = tokens[at], from[r] = bases[at];
        }
        VI sums[R][N];
        begin<N>(from, query, lane, sums);
        multiply<N>(some, query, lane, sums);
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) most[n] = most[n] > sums[r][n] ? most[n] : sums[r][n];
    }
    for (int n = 0; n < N; n++) store(best + lane + n * W, most[n]);
}

static void scores(const LateQuery &query, const LateTokens &tokens, const int32_t *bases, const int64_t *rows,
                   int64_t count, int64_t *out, char *scratch) {
    const Packed packed = pack(query, scratch);
    const int64_t dim = tokens.dim, lanes = packed.lanes;
    const bool as_stored = tokens.bits == 8 && sizeof(Number) == 1 && !SHIFT;
    const int64_t fits = EXPANDED / dim / R * R, room = fits > ROOM ? ROOM : fits < R ? R : fits;
    int32_t *best = taken<int32_t>(scratch, lanes);
    uint8_t *bytes = taken<uint8_t>(scratch, dim);
    Number *expanded = taken<Number>(scratch, room * dim);
    const Number *some[ROOM];
    const int32_t *from[ROOM];
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = rows ? rows[i] : i, end = tokens.offsets[row + 1];
        for (int64_t lane = 0; lane < lanes; lane++) best[lane] = INT32_MIN;
        for (int64_t first = tokens.offsets[row]; first < end; first += room) {
            const int64_t here = end - first < room ? end - first : room;
            for (int64_t t = 0; t < here; t++) {
                from[t] = tokens.codes ? bases + (tokens.codes[first + t] >> tokens.shift) * lanes : bases;
                some[t] = as_stored ? reinterpret_cast<const Number *>(tokens.residuals + (first + t) * dim)
                                    : expanded + t * dim;
                if (!as_stored) expand(tokens, first + t, bytes, expanded + t * dim);
            }
            int64_t lane = 0;
            for (; lane + V * W <= lanes; lane += V * W) raise<V>(some, from, here, packed, lane, best);
            for (; lane < lanes; lane += W) raise<1>(some, from, here, packed, lane, best);
        }
        int64_t sum = 0;
        for (int64_t lane = 0; lane < query.count; lane++) sum += best[lane];
        out[i] = sum;
    }
}

// ---- Centroids: products with the query, then the two tables made of them.

static void products(const LateQuery &query, const uint8_t *rows, int64_t count, int32_t *out, char *scratch) {
    const Packed packed = pack(query, scratch);
    const int64_t dim = query.dim, lanes = packed.lanes;
    int32_t *base = taken<int32_t>(scratch, lanes);
    Number *expanded = taken<Number>(scratch, R * dim);
    for (int64_t lane = 0; lane < lanes; lane++) base[lane] = -128 * packed.sums[lane];
    const int32_t *bases[R];
    for (int r = 0; r < R; r++) bases[r] = base;
    for (int64_t first = 0; first < count; first += R) {
        const Number *some[R];
        for (int r = 0; r < R; r++) {
            const int64_t row = first + r < count ? first + r : count - 1;
            widen(rows + row * dim, dim, expanded + r * dim);
            some[r] = expanded + r * dim;
        }
        for (int64_t lane = 0; lane < lanes; lane += W) {
            VI sums[R][1];
            begin<1>(bases, packed, lane, sums);
            multiply<1>(some, packed, lane, sums);
            for (int r = 0; r < R && first + r < count; r++) store(out + (first + r) * lanes + lane, sums[r][0]);
        }
    }
}

// The bytes of the table: products less their mean over the centroids, which no document's ranking depends on, then
// scaled so that the largest of all is 254 or 255; what is below the mean is 0.
static void tables(const LateQuery &query, const int32_t *products, int64_t count, int64_t gain, int64_t zero,
                   int32_t *bases, uint8_t *table, char *scratch) {
    const Packed packed = pack(query, scratch);
    const int64_t lanes = packed.lanes, wide = round_up(query.count, BYTES);
    int64_t *totals = taken<int64_t>(scratch, lanes);
    int32_t *most = taken<int32_t>(scratch, lanes), *taken_off = taken<int32_t>(scratch, lanes);
    for (int64_t lane = 0; lane < lanes; lane++)
        totals[lane] = 0, most[lane] = INT32_MIN, taken_off[lane] = int32_t(zero) * packed.sums[lane];
    for (int64_t row = 0; row < count; row++)
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int32_t product = products[row * lanes + lane];
            totals[lane] += product;
            most[lane] = most[lane] > product ? most[lane] : product;
            bases[row * lanes + lane] = int32_t(gain) * product - taken_off[lane];
        }
    int32_t span = 0, *mean = taken_off;
    for (int64_t lane = 0; lane < lanes; lane++) {
        const int64_t quotient = totals[lane] / count;
        mean[lane] = int32_t(quotient - (totals[lane] % count < 0));
        if (lane < query.count && most[lane] - mean[lane] > span) span = most[lane] - mean[lane];
    }
    int shift = 0;
    while (span >> shift > 65535) shift++;
    const uint32_t scale = span >> shift ? (255u << 16) / uint32_t(span >> shift) : 0;
    for (int64_t row = 0; row < count; row++) {
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int32_t above = products[row * lanes + lane] - mean[lane];
            const uint32_t kept = uint32_t(above > 0 ? above : 0) >> shift;
            table[row * wide + lane] = uint8_t((kept * scale + 32768u) >> 16);
        }
        for (int64_t lane = query.count; lane < wide; lane++) table[row * wide + lane] = 0;
    }
}

static inline VB larger(VB a, VB b) { return a > b ? a : b; }

static void scan(int64_t query_tokens, const LateTokens &tokens, const uint8_t *table, const int64_t *rows,
                 int64_t count, uint32_t *out) {
    const int64_t wide = round_up(query_tokens, BYTES), shift = tokens.shift;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = rows ? rows[i] : i, start = tokens.offsets[row], end = tokens.offsets[row + 1];
        uint32_t sum = 0;
        for (int64_t lane = 0; lane < wide; lane += BYTES) {
            VB most[2] = {};
            int64_t token = start;
            for (; token + 1 < end; token += 2)
                for (int n = 0; n < 2; n++)
                    most[n] = larger(most[n], load<VB>(table + (tokens.codes[token + n] >> shift) * wide + lane));
            if (token < end) most[0] = larger(most[0], load<VB>(table + (tokens.codes[token] >> shift) * wide + lane));
            const VH bytes = (VH)larger(most[0], most[1]);
            const VW halves = (VW)((bytes & 0xff) + (bytes >> 8));
            const VD words = (VD)((halves & 0xffff) + (halves >> 16));
            const VD all = (words & 0xffffffff) + (words >> 32);
            sum += uint32_t(all[0] + all[1] + all[2] + all[3]);
        }
        out[i] = sum;
    }
}

// ---- float32: the same with numbers as they are. Sums differ between instruction sets by rounding.

template <int N>
static inline void raise_floats(const float *tokens, int64_t count, int64_t dim, const float *query, int64_t lane,
                                float *best) {
    VF most[N];
    const float *columns[N];
    for (int n = 0; n < N; n++) {
        most[n] = load<VF>(best + lane + n * W);
        columns[n] = query + (lane + n * W) / BLOCK * BLOCK * dim + (lane + n * W) % BLOCK;
    }
    for (int64_t first = 0; first < count; first += R) {
        const float *some[R];
        for (int r = 0; r < R; r++) some[r] = tokens + (first + r < count ? first + r : count - 1) * dim;
        VF sums[R][N];
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) sums[r][n] = VF{};
        for (int64_t d = 0; d < dim; d++)
            for (int n = 0; n < N; n++) {
                const VF column = load<VF>(columns[n] + d * BLOCK);
                for (int r = 0; r < R; r++) sums[r][n] += some[r][d] * column;
            }
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) most[n] = most[n] > sums[r][n] ? most[n] : sums[r][n];
    }
    for (int n = 0; n < N; n++) store(best + lane + n * W, most[n]);
}

static void floats(const float *query, int64_t query_tokens, const float *tokens, const int64_t *offsets,
                   int64_t documents, int64_t dim, double *out, char *scratch) {
    const int64_t lanes = round_up(query_tokens, BLOCK);
    float *packed = taken<float>(scratch, lanes * dim), *best = taken<float>(scratch, lanes);
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t d = 0; d < dim; d++)
            packed[lane / BLOCK * BLOCK * dim + d * BLOCK + lane % BLOCK] =
                lane < query_tokens ? query[lane * dim + d] : 0;
    for (int64_t document = 0; document < documents; document++) {
        const float *from = tokens + offsets[document] * dim;
        const int64_t count = offsets[document + 1] - offsets[document];
        for (int64_t lane = 0; lane < lanes; lane++) best[lane] = -__builtin_inff();
        int64_t lane = 0;
        for (; lane + V * W <= lanes; lane += V * W) raise_floats<V>(from, count, dim, packed, lane, best);
        for (; lane < lanes; lane += W) raise_floats<1>(from, count, dim, packed, lane, best);
        double sum = 0;
        for (int64_t l = 0; l < query_tokens; l++) sum += best[l];
        out[document] = sum;
    }
}
