// Runs the kernels without Python: reads arrays from a file, writes what every usable kernel makes of them.
//   driver IN OUT    the kernels' names go to standard output, their results to OUT, one after the other
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "late.h"

static FILE *in, *out;
static std::vector<std::vector<char>> held;

template <class T>
static const T *array() {
    int64_t bytes;
    if (fread(&bytes, sizeof bytes, 1, in) != 1) exit(2);
    held.emplace_back(bytes);  // exactly as large as the array, so that a sanitizer sees every step beyond it
    if (bytes && fread(held.back().data(), 1, bytes, in) != size_t(bytes)) exit(2);
    return bytes ? reinterpret_cast<const T *>(held.back().data()) : nullptr;
}

template <class T>
static void put(const std::vector<T> &values) {
    fwrite(values.data(), sizeof(T), values.size(), out);
}

static void check(int code) {
    if (code) exit(3);
}

int main(int, char **names) {
    in = fopen(names[1], "rb"), out = fopen(names[2], "wb");
    if (!in || !out) return 2;
    const int64_t *sizes = array<int64_t>();  // query tokens, dim, bits, centroids, documents, shift
    const int64_t count = sizes[0], dim = sizes[1], bits = sizes[2], centroids = sizes[3], documents = sizes[4];
    const int64_t lanes = (count + 15) / 16 * 16, wide = (count + 31) / 32 * 32;
    const LateQuery query{array<int8_t>(), count, dim};
    const uint8_t *rows = array<uint8_t>();
    LateTokens tokens{};
    tokens.codes = array<uint16_t>(), tokens.residuals = array<uint8_t>(), tokens.offsets = array<int64_t>();
    tokens.levels = array<uint8_t>(), tokens.dim = dim, tokens.bits = bits, tokens.shift = sizes[5];
    const int64_t *chosen = array<int64_t>();
    const float *query_floats = array<float>(), *floats = array<float>();
    for (int which = 0; const char *name = retr_late_kernels(which); which++) {
        std::vector<int32_t> products(centroids * lanes), bases(centroids * lanes);
        std::vector<uint8_t> table(centroids * wide);
        std::vector<int64_t> scores(documents), places(documents / 2 + 1);
        std::vector<uint32_t> bytes(documents);
        std::vector<double> exact(documents);
        check(retr_late_products(name, &query, rows, centroids, products.data()));
        check(retr_late_tables(name, &query, products.data(), centroids, 2, 99, bases.data(), table.data()));
        check(retr_late_scores(name, &query, &tokens, bases.data(), chosen, documents, scores.data()));
        LateTokens coded = tokens;
        std::vector<uint16_t> none(tokens.offsets[documents], 0);
        if (!coded.codes) coded.codes = none.data();
        check(retr_late_scan(name, count, &coded, table.data(), chosen, documents, bytes.data()));
        check(retr_late_floats(name, query_floats, count, floats, tokens.offsets, documents, dim, exact.data()));
        check(retr_late_best(bytes.data(), documents, 255 * count, documents / 2 + 1, places.data()));
        printf("%s\n", name);
        put(products), put(bases), put(table), put(scores), put(bytes), put(places), put(exact);
    }
    fclose(out);
    return 0;
}
