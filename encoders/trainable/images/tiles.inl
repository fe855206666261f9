// The kernels of one instruction set: W texts side by side. Included by tiles.cpp, once for each.

typedef float Floats __attribute__((vector_size(4 * W)));
typedef int32_t Whole __attribute__((vector_size(4 * W)));

// W numbers, or as many as there are, then `rest`.
inline Floats load(const float *from, int64_t count, float rest) {
    Floats found;
    if (count >= W) {
        std::memcpy(&found, from, sizeof found);
    } else {
        for (int64_t lane = 0; lane < W; lane++) found[lane] = lane < count ? from[lane] : rest;
    }
    return found;
}

// The greatest so far, at which place it was first, and how many are as great. What is no number is the greatest.
struct Greatest {
    Floats value;
    Whole at, equal;
};

inline void meet(Greatest &best, Floats value, int32_t at) {
    const Whole above = (value > best.value) | (value != value);
    best.equal = above ? Whole{} + 1 : best.equal - (value == best.value);
    best.value = above ? value : best.value;
    best.at = above ? Whole{} + at : best.at;
}

inline Floats greater(Floats value, Floats best) {
    return ((value > best) | (value != value)) ? value : best;
}

inline Floats finite(Floats best) {
    return best == -INFINITY ? Floats{} : best;
}

// What two tokens learn from their product: each `weight` times the other.
inline void learn(float weight, const float *left, const float *right, float *__restrict to_left,
                  float *__restrict to_right, int64_t dim) {
    for (int64_t number = 0; number < dim; number++) {
        to_left[number] += weight * right[number];
        to_right[number] += weight * left[number];
    }
}

int means(const Tile *tile, float *to_text, float *to_image) {
    const int64_t m = tile->m, n = tile->n, texts = tile->texts;
    void *memory = nullptr;
    if (posix_memalign(&memory, 64, size_t(n + 1) * sizeof(Floats))) return 2;
    Floats *const columns = static_cast<Floats *>(memory);
    for (int64_t image = 0; image < tile->images; image++) {
        const float *const products = tile->products + image * m * n * texts;
        for (int64_t first = 0; first < texts; first += W) {
            const int64_t count = texts - first;
            for (int64_t j = 0; j < n; j++) columns[j] = Floats{} - INFINITY;
            Floats sum{};
            for (int64_t i = 0; i < m; i++) {
                Floats best = Floats{} - INFINITY;
                for (int64_t j = 0; j < n; j++) {
                    const Floats value = load(products + (i * n + j) * texts + first, count, -INFINITY) +
                                         load(tile->hidden + j * texts + first, count, 0.0f);
                    best = greater(value, best);
                    columns[j] = greater(value, columns[j]);
                }
                sum += finite(best) * tile->of_images[image * m + i];
            }
            Floats other{};
            for (int64_t j = 0; j < n; j++)
                other += finite(columns[j]) * load(tile->of_texts + j * texts + first, count, 0.0f);
            const size_t bytes = size_t(count < W ? count : W) * sizeof(float);
            std::memcpy(to_text + image * texts + first, &sum, bytes);
            std::memcpy(to_image + image * texts + first, &other, bytes);
        }
    }
    std::free(memory);
    return 0;
}

int learnt(const Tile *tile, const float *to_text, const float *to_image, const float *left, const float *right,
           float *to_left, float *to_right) {
    const int64_t m = tile->m, n = tile->n, texts = tile->texts, dim = tile->dim;
    void *memory = nullptr;
    if (posix_memalign(&memory, 64, size_t(n + 1) * sizeof(Greatest))) return 2;
    Greatest *const columns = static_cast<Greatest *>(memory);
    for (int64_t image = 0; image < tile->images; image++) {
        const float *const products = tile->products + image * m * n * texts;
        const float *const tokens = left + image * m * dim;
        float *const learnt = to_left + image * m * dim;
        for (int64_t first = 0; first < texts; first += W) {
            const int64_t count = texts - first, lanes = count < W ? count : W;
            for (int64_t j = 0; j < n; j++) columns[j] = {Floats{} - INFINITY, Whole{}, Whole{}};
            for (int64_t i = 0; i < m; i++) {
                const float *const row = products + i * n * texts + first;
                Greatest best = {Floats{} - INFINITY, Whole{}, Whole{}};
                for (int64_t j = 0; j < n; j++) {
                    const Floats value = load(row + j * texts, count, -INFINITY) +
                                         load(tile->hidden + j * texts + first, count, 0.0f);
                    meet(best, value, int32_t(j));
                    meet(columns[j], value, int32_t(i));
                }
                for (int64_t lane = 0; lane < lanes; lane++) {
                    if (best.value[lane] == -INFINITY) continue;
                    const int64_t text = first + lane;
                    const int32_t equal = best.equal[lane];
                    const float weight =
                        to_text[image * texts + text] * tile->of_images[image * m + i] / float(equal);
                    for (int64_t j = best.at[lane], found = 0; found < equal; j++) {
                        const float hidden = tile->hidden[j * texts + text];
                        if (equal > 1 && row[j * texts + lane] + hidden != best.value[lane]) continue;
                        const int64_t at = (j * texts + text) * dim;
                        learn(weight, tokens + i * dim, right + at, learnt + i * dim, to_right + at, dim);
                        found++;
                    }
                }
            }
            for (int64_t j = 0; j < n; j++) {
                for (int64_t lane = 0; lane < lanes; lane++) {
                    const Greatest &best = columns[j];
                    if (best.value[lane] == -INFINITY) continue;
                    const int64_t text = first + lane, at = (j * texts + text) * dim;
                    const int32_t equal = best.equal[lane];
                    const float weight =
                        to_image[image * texts + text] * tile->of_texts[j * texts + text] / float(equal);
                    for (int64_t i = best.at[lane], found = 0; found < equal; i++) {
                        const float hidden = tile->hidden[j * texts + text];
                        if (equal > 1 && products[(i * n + j) * texts + text] + hidden != best.value[lane]) continue;
                        learn(weight, tokens + i * dim, right + at, learnt + i * dim, to_right + at, dim);
                        found++;
                    }
                }
            }
        }
    }
    std::free(memory);
    return 0;
}
