// The C interface to the kernels: make a model from its weights, run it over texts, give it back. Read through ctypes.
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "packed.h"
#include "plan.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && !defined(__APPLE__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace retr {

#if defined(__x86_64__)
extern const Kernels avx512_bf16_kernels, avx512_kernels, avxvnni_kernels, avx2_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#if defined(RETR_NEON_DOT)
extern const Kernels neon_dot_kernels;
#endif
#endif

namespace {

#if defined(__x86_64__)
bool has_avx_vnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4));
}
#elif defined(RETR_NEON_DOT)
bool has_dot_products() {
#if defined(__APPLE__)
    return true;
#else
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
}
#endif

// The kernels this processor can run, best first, ended by null.
const Kernels *const *usable() {
    static const Kernels *found[5] = {};
    static std::once_flag once;
    std::call_once(once, [] {
        int count = 0;
#if defined(__x86_64__)
        __builtin_cpu_init();
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vnni");
        if (avx512 && __builtin_cpu_supports("avx512bf16")) found[count++] = &avx512_bf16_kernels;
        if (avx512) found[count++] = &avx512_kernels;
        if (avx2 && has_avx_vnni()) found[count++] = &avxvnni_kernels;
        if (avx2) found[count++] = &avx2_kernels;
#elif defined(__aarch64__)
#if defined(RETR_NEON_DOT)
        if (has_dot_products()) found[count++] = &neon_dot_kernels;
#endif
        found[count++] = &neon_kernels;
#endif
        found[count] = nullptr;
    });
    return found;
}

// Memory from one allocation, aligned to a cache line.
struct Block {
    explicit Block(size_t bytes) : size(bytes), memory(new char[bytes + 128]) {}
    void *start() const {
        const auto address = reinterpret_cast<uintptr_t>(memory.get());
        return reinterpret_cast<void *>((address + 127) / 128 * 128);
    }
    size_t size;
    std::unique_ptr<char[]> memory;
};

constexpr size_t KEPT = 64u << 20;  // scratch larger than this is given back after a run

}  // namespace

struct Handle {
    const Kernels *kernels;
    Model model;
    std::vector<Layer> layers;
    std::vector<Block> blocks;
    std::mutex guard;
    std::vector<std::unique_ptr<Block>> idle;

    template <class T>
    T *keep(const T *from, size_t count, size_t room = 0) {
        blocks.emplace_back((count > room ? count : room) * sizeof(T));
        T *here = static_cast<T *>(blocks.back().start());
        std::memset(here, 0, blocks.back().size);
        std::memcpy(here, from, count * sizeof(T));
        return here;
    }

    Linear linear(const void *weight, const float *bias, const float *scale, int inputs, int outputs) {
        const int panel = kernels->panel;
        const size_t room = size_t(outputs + panel - 1) / panel * panel;
        Linear made;
        made.inputs = inputs, made.outputs = outputs;
        blocks.emplace_back(kernels->pack_bytes(inputs, outputs, scale != nullptr));
        kernels->pack(weight, inputs, outputs, scale != nullptr, blocks.back().start());
        made.panels = blocks.back().start();
        made.bias = keep(bias, outputs, room);
        if (!scale) return made;
        std::vector<float> sums(outputs);
        const int8_t *numbers = static_cast<const int8_t *>(weight);
        for (int column = 0; column < outputs; column++) {
            int64_t sum = 0;
            for (int row = 0; row < inputs; row++) sum += numbers[size_t(row) * outputs + column];
            sums[column] = float(sum) * scale[column];
        }
        made.scale = keep(scale, outputs, room);
        made.columns = keep(sums.data(), outputs, room);
        return made;
    }

    std::unique_ptr<Block> borrow(size_t bytes) {
        std::lock_guard<std::mutex> held(guard);
        for (size_t i = idle.size(); i-- > 0;)
            if (idle[i]->size >= bytes) {
                auto found = std::move(idle[i]);
                idle.erase(idle.begin() + i);
                return found;
            }
        if (!idle.empty()) idle.pop_back();
        return std::make_unique<Block>(bytes);
    }

    void give_back(std::unique_ptr<Block> block) {
        if (block->size > KEPT) return;
        std::lock_guard<std::mutex> held(guard);
        idle.push_back(std::move(block));
    }
};

}  // namespace retr

using retr::Handle;

PUBLIC const char *retr_kernels(int which) {
    for (int i = 0; i <= which; i++)
        if (!retr::usable()[i]) return nullptr;
    return retr::usable()[which]->name;
}

PUBLIC void *retr_open(const GivenModel *given, const char *kernels) try {
    const retr::Kernels *chosen = nullptr;
    for (auto found = retr::usable(); *found && !chosen; found++)
        if (!std::strcmp((*found)->name, kernels)) chosen = *found;
    if (!chosen) return nullptr;
    auto handle = std::make_unique<Handle>();
    handle->kernels = chosen;
    const size_t dim = size_t(given->dim);
    retr::Model &model = handle->model;
    model.dim = int(given->dim), model.wide = int(given->wide), model.heads = int(given->heads);
    model.layers = int(given->layers), model.words = int(given->words), model.positions = int(given->positions);
    model.types = int(given->types), model.activation = retr::Activation(given->activation);
    model.half_attention = given->half_attention != 0;
    model.reach = int(given->reach), model.epsilon = float(given->epsilon);
    if (given->word_scale) {
        model.word_bytes = handle->keep(static_cast<const int8_t *>(given->word_rows), given->words * dim);
        model.word_scale = handle->keep(given->word_scale, given->words);
    } else {
        model.word_floats = handle->keep(static_cast<const float *>(given->word_rows), given->words * dim);
    }
    model.position_rows = handle->keep(given->position_rows, given->positions * dim);
    if (given->type_rows) model.type_rows = handle->keep(given->type_rows, given->types * dim);
    if (given->relative) model.relative = handle->keep(given->relative, (2 * given->reach + 1) * given->heads);
    model.norm = {handle->keep(given->norm_weight, dim), handle->keep(given->norm_bias, dim)};
    for (int64_t l = 0; l < given->layers; l++) {
        const GivenLayer &from = given->layer[l];
        retr::Layer to;
        retr::Linear *const slots[6] = {&to.query, &to.key, &to.value, &to.out, &to.up, &to.down};
        for (int i = 0; i < 6; i++) {
            const GivenLinear &one = from.linears[i];
            *slots[i] = handle->linear(one.weight, one.bias, one.scale, int(one.inputs), int(one.outputs));
        }
        to.out_norm = {handle->keep(from.norms[0], dim), handle->keep(from.norms[1], dim)};
        to.down_norm = {handle->keep(from.norms[2], dim), handle->keep(from.norms[3], dim)};
        handle->layers.push_back(to);
    }
    model.layer = handle->layers.data();
    return handle.release();
} catch (const std::bad_alloc &) {
    return nullptr;
}

// Whether every token, segment and position has a row: 0, 1 or 2 as `retr_run` tells it.
static int misfit(const retr::Model &model, const retr::Batch &batch) {
    const int64_t tokens = batch.offsets[batch.texts];
    for (int64_t token = 0; token < tokens; token++) {
        if (batch.ids[token] < 0 || batch.ids[token] >= model.words) return 1;
        const int64_t segment = model.type_rows && batch.segments ? batch.segments[token] : 0;
        if (segment < 0 || segment >= (model.type_rows ? model.types : 1)) return 1;
        if (batch.positions && (batch.positions[token] < 0 || batch.positions[token] >= model.positions)) return 2;
    }
    return 0;
}

static int run_batch(Handle &handle, const retr::Batch &batch, float *states) {
    const int64_t tokens = batch.offsets[batch.texts];
    auto scratch = handle.borrow(handle.kernels->scratch_bytes(handle.model, tokens, longest_sight(batch)));
    handle.kernels->run(handle.model, batch, states, scratch->start());
    handle.give_back(std::move(scratch));
    return 0;
}

PUBLIC int retr_run(void *opened, const int64_t *ids, const int64_t *segments, const int64_t *offsets, int64_t texts,
                    float *states) try {
    Handle &handle = *static_cast<Handle *>(opened);
    const retr::Model &model = handle.model;
    const retr::Batch batch{ids, segments, offsets, texts};
    const int64_t longest = longest_sight(batch);
    if (longest > model.positions || (model.relative && longest > model.reach + 1)) return 2;
    if (const int code = misfit(model, batch)) return code;
    return run_batch(handle, batch, states);
} catch (const std::bad_alloc &) {
    return 3;
}

PUBLIC int retr_run_rows(void *opened, const GivenRows *given) try {
    Handle &handle = *static_cast<Handle *>(opened);
    if (handle.model.relative) return 4;
    const retr::Batch batch{given->ids,    given->segments, given->offsets,     given->texts,      given->positions,
                            given->record, given->kept,     given->kept_tokens, given->arrow != 0};
    if (const int code = misfit(handle.model, batch)) return code;
    return run_batch(handle, batch, given->states);
} catch (const std::bad_alloc &) {
    return 3;
}

PUBLIC void retr_close(void *opened) { delete static_cast<Handle *>(opened); }

#if !defined(WITHOUT_PYTHON)
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

// So that the file is an extension module to Python's tools; it holds nothing to import.
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_packed", "See native.py.", 0, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__packed(void) { return PyModuleDef_Init(&module); }
#endif
