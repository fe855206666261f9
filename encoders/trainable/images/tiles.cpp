// Greatest products of FILIP's tiles, both ways, and what the tokens behind them learn; for several instruction sets.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define PUBLIC extern "C" __attribute__((visibility("default")))

namespace {

// A tile: products [images, m, n, texts]; `hidden` [n, texts], which is added to each image's; what a token of an image
// counts for [images, m] and one of a text [n, texts]. Padding has products of -inf then.
struct Tile {
    const float *products, *hidden, *of_images, *of_texts;
    int64_t images, m, n, texts, dim;
};

// One instruction set.
struct Kernels {
    const char *name;
    int (*means)(const Tile *, float *, float *);
    int (*learnt)(const Tile *, const float *, const float *, const float *, const float *, float *, float *);
};

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#endif
namespace avx512 {
constexpr int64_t W = 16;
#include "tiles.inl"
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
constexpr int64_t W = 8;
#include "tiles.inl"
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

namespace any {
constexpr int64_t W = 4;
#include "tiles.inl"
}  // namespace any

// The kernels this processor can run, best first, ended by null.
const Kernels *const *usable() {
    static const Kernels plain{"any", any::means, any::learnt};
#if defined(__x86_64__)
    static const Kernels wide{"avx512", avx512::means, avx512::learnt}, narrow{"avx2", avx2::means, avx2::learnt};
    static const Kernels *const *const all = [] {
        static const Kernels *found[4] = {};
        __builtin_cpu_init();
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
        int count = 0;
        if (avx512) found[count++] = &wide;
        if (avx2) found[count++] = &narrow;
        found[count] = &plain;
        return found;
    }();
    return all;
#else
    static const Kernels *const found[2] = {&plain, nullptr};
    return found;
#endif
}

const Kernels *named(const char *name) {
    for (auto each = usable(); *each; each++)
        if (!std::strcmp((*each)->name, name)) return *each;
    return nullptr;
}

}  // namespace

// Number `which` of the kernels that this processor can run, best first; null past the last.
PUBLIC const char *retr_tiles_kernels(int which) {
    const auto all = usable();
    for (int i = 0; i <= which; i++)
        if (!all[i]) return nullptr;
    return all[which]->name;
}

// Both functions below: 0 is well, 1 an unknown name of kernels, 2 no memory.

// Into [images, texts]: the mean over an image's tokens of their greatest products, and over a text's.
PUBLIC int retr_tiles_means(const char *kernels, const Tile *tile, float *to_text, float *to_image) {
    const auto chosen = named(kernels);
    return chosen ? chosen->means(tile, to_text, to_image) : 1;
}

// From the gradients of both means [images, texts] and the tokens, `left` [images, m, dim] and `right` [n, texts, dim]:
// adds to theirs. Products that are equally great share it equally.
PUBLIC int retr_tiles_learnt(const char *kernels, const Tile *tile, const float *to_text, const float *to_image,
                             const float *left, const float *right, float *to_left, float *to_right) {
    const auto chosen = named(kernels);
    return chosen ? chosen->learnt(tile, to_text, to_image, left, right, to_left, to_right) : 1;
}

#if !defined(WITHOUT_PYTHON)
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

// So that the file is an extension module to Python's tools; it holds nothing to import.
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_tiles", "See fused.py.", 0, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__tiles(void) { return PyModuleDef_Init(&module); }
#endif
