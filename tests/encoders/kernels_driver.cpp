// Runs the kernels without Python: reads a model and texts from a file, writes the states of every usable kernel.
//   driver IN OUT    the kernels' names go to standard output, their states to OUT, one after the other
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "packed.h"

static FILE *in;
static std::vector<std::vector<char>> held;

static void read(void *to, size_t bytes) {
    if (fread(to, 1, bytes, in) != bytes) exit(2);
}

static const void *array(int64_t *bytes = nullptr) {
    int64_t size;
    read(&size, sizeof size);
    if (bytes) *bytes = size;
    if (!size) return nullptr;
    held.emplace_back(size);  // exactly as large as the array, so that a sanitizer sees every step beyond it
    read(held.back().data(), size);
    return held.back().data();
}

static const float *floats() { return static_cast<const float *>(array()); }

static void must(int code, int expected = 0) {
    if (code != expected) exit(4);
}

// The same texts as a context, the first, with its candidates: as arrow, and the candidates after the context was kept.
static void run_rows(void *opened, const GivenModel &model, const int64_t *ids, const int64_t *segments, const int64_t *offsets,
                     int64_t texts, FILE *out) {
    const int64_t context = offsets[1], tokens = offsets[texts], dim = model.dim;
    std::vector<int64_t> positions, ends;
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < offsets[text + 1] - offsets[text]; i++) positions.push_back(text ? context + i : i);
    for (int64_t text = 1; text <= texts; text++) ends.push_back(offsets[text] - context);
    std::vector<float> states(tokens * dim), kept(model.layers * context * 2 * dim);
    GivenRows rows{ids, segments, positions.data(), offsets, texts, 0, 1, nullptr, nullptr, states.data()};
    if (model.relative) return must(retr_run_rows(opened, &rows), 4);
    must(retr_run_rows(opened, &rows));
    fwrite(states.data(), sizeof(float), states.size(), out);
    rows = {ids, segments, positions.data(), offsets, 1, 0, 0, nullptr, kept.data(), states.data()};
    must(retr_run_rows(opened, &rows));
    rows = {ids + context, segments + context, positions.data() + context, ends.data(), texts - 1, context, 0,
            kept.data(), nullptr, states.data() + context * dim};
    must(retr_run_rows(opened, &rows));
    fwrite(states.data(), sizeof(float), states.size(), out);
}

int main(int, char **names) {
    in = fopen(names[1], "rb");
    FILE *out = fopen(names[2], "wb");
    if (!in || !out) return 2;
    GivenModel model;
    int64_t numbers[10];
    read(numbers, sizeof numbers);
    model.dim = numbers[0], model.wide = numbers[1], model.heads = numbers[2], model.layers = numbers[3];
    model.words = numbers[4], model.positions = numbers[5], model.types = numbers[6], model.activation = numbers[7];
    model.reach = numbers[8], model.half_attention = numbers[9];
    read(&model.epsilon, sizeof model.epsilon);
    model.word_rows = array(), model.word_scale = floats(), model.position_rows = floats(), model.type_rows = floats();
    model.relative = floats(), model.norm_weight = floats(), model.norm_bias = floats();
    std::vector<GivenLayer> layers(model.layers);
    for (GivenLayer &layer : layers) {
        for (GivenLinear &linear : layer.linears) {
            read(&linear.inputs, sizeof linear.inputs), read(&linear.outputs, sizeof linear.outputs);
            linear.weight = array(), linear.bias = floats(), linear.scale = floats();
        }
        for (const float *&norm : layer.norms) norm = floats();
    }
    model.layer = layers.data();
    int64_t bytes, tokens;
    const int64_t *ids = static_cast<const int64_t *>(array(&tokens)), *segments = static_cast<const int64_t *>(array());
    const int64_t *offsets = static_cast<const int64_t *>(array(&bytes));
    tokens /= 8;
    for (int which = 0; const char *name = retr_kernels(which); which++) {
        std::vector<float> states(tokens * model.dim);
        void *opened = retr_open(&model, name);
        if (!opened || retr_run(opened, ids, segments, offsets, bytes / 8 - 1, states.data())) return 3;
        printf("%s\n", name);
        fwrite(states.data(), sizeof(float), states.size(), out);
        run_rows(opened, model, ids, segments, offsets, bytes / 8 - 1, out);
        retr_close(opened);
    }
    return fclose(out) != 0;
}
