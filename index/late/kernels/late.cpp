// The C interface to the kernels of late interaction: which ones this processor can run, and calls by their name.
#include <cstdlib>
#include <cstring>

#include "plan.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && !defined(__APPLE__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace retr_late {

extern const Kernels scalar_kernels;
#if defined(__x86_64__)
extern const Kernels avx512_kernels, avxvnni_kernels, avx2_kernels;
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

struct Usable {
    const Kernels *found[6] = {};

    Usable() {
        int count = 0;
#if defined(__x86_64__)
        __builtin_cpu_init();
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vnni");
        if (avx512) found[count++] = &avx512_kernels;
        if (avx2 && has_avx_vnni()) found[count++] = &avxvnni_kernels;
        if (avx2) found[count++] = &avx2_kernels;
#elif defined(__aarch64__)
#if defined(RETR_NEON_DOT)
        if (has_dot_products()) found[count++] = &neon_dot_kernels;
#endif
        found[count++] = &neon_kernels;
#endif
        found[count++] = &scalar_kernels;
    }
};

// The kernels this processor can run, best first, ended by null.
const Kernels *const *usable() {
    static const Usable all;
    return all.found;
}

const Kernels *named(const char *name) {
    for (auto each = usable(); *each; each++)
        if (!std::strcmp((*each)->name, name)) return *each;
    return nullptr;
}

// Memory for one call, given back at its end.
struct Memory {
    explicit Memory(size_t bytes) : start(static_cast<char *>(std::malloc(bytes ? bytes : 1))) {}
    ~Memory() { std::free(start); }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    char *start;
};

}  // namespace
}  // namespace retr_late

using retr_late::Memory;
using retr_late::named;
using retr_late::scratch_bytes;

PUBLIC const char *retr_late_kernels(int which) {
    const auto all = retr_late::usable();
    for (int i = 0; i <= which; i++)
        if (!all[i]) return nullptr;
    return all[which]->name;
}

PUBLIC int retr_late_products(const char *kernels, const LateQuery *query, const uint8_t *rows, int64_t count,
                              int32_t *products) {
    const auto chosen = named(kernels);
    if (!chosen) return 1;
    const Memory memory(scratch_bytes(query->count, query->dim));
    if (!memory.start) return 2;
    chosen->products(*query, rows, count, products, memory.start);
    return 0;
}

PUBLIC int retr_late_tables(const char *kernels, const LateQuery *query, const int32_t *products, int64_t count,
                            int64_t gain, int64_t zero, int32_t *bases, uint8_t *table) {
    const auto chosen = named(kernels);
    if (!chosen) return 1;
    const Memory memory(scratch_bytes(query->count, query->dim));
    if (!memory.start) return 2;
    chosen->tables(*query, products, count, gain, zero, bases, table, memory.start);
    return 0;
}

PUBLIC int retr_late_scores(const char *kernels, const LateQuery *query, const LateTokens *tokens,
                            const int32_t *bases, const int64_t *rows, int64_t count, int64_t *scores) {
    const auto chosen = named(kernels);
    if (!chosen) return 1;
    const Memory memory(scratch_bytes(query->count, query->dim));
    if (!memory.start) return 2;
    chosen->scores(*query, *tokens, bases, rows, count, scores, memory.start);
    return 0;
}

PUBLIC int retr_late_scan(const char *kernels, int64_t query_tokens, const LateTokens *tokens, const uint8_t *table,
                          const int64_t *rows, int64_t count, uint32_t *scores) {
    const auto chosen = named(kernels);
    if (!chosen) return 1;
    chosen->scan(query_tokens, *tokens, table, rows, count, scores);
    return 0;
}

PUBLIC int retr_late_floats(const char *kernels, const float *query, int64_t query_tokens, const float *tokens,
                            const int64_t *offsets, int64_t documents, int64_t dim, double *scores) {
    const auto chosen = named(kernels);
    if (!chosen) return 1;
    const Memory memory(scratch_bytes(query_tokens, dim));
    if (!memory.start) return 2;
    chosen->floats(query, query_tokens, tokens, offsets, documents, dim, scores, memory.start);
    return 0;
}

PUBLIC int retr_late_best(const uint32_t *scores, int64_t count, int64_t most, int64_t wanted, int64_t *places) {
    const Memory memory(size_t(most + 1) * sizeof(int64_t));
    if (!memory.start) return 2;
    int64_t *const with = reinterpret_cast<int64_t *>(memory.start);  // places that have a score
    std::memset(with, 0, size_t(most + 1) * sizeof(int64_t));
    for (int64_t i = 0; i < count; i++) with[scores[i]]++;
    int64_t edge = most, above = 0;
    while (edge > 0 && above + with[edge] < wanted) above += with[edge--];
    int64_t equal = wanted - above, at = 0;
    for (int64_t i = 0; i < count && at < wanted; i++)
        if (scores[i] > edge || (scores[i] == edge && equal-- > 0)) places[at++] = i;
    return 0;
}

#if !defined(WITHOUT_PYTHON)
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

// So that the file is an extension module to Python's tools; it holds nothing to import.
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_late", "See native.py.", 0, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__late(void) { return PyModuleDef_Init(&module); }
#endif
