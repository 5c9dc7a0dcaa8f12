/* What this core can do: on x86-64 read with CPUID and XGETBV, since the compilers' own tests
 * disagree; on AArch64 from the operating system. */
#include "march.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { OSXSAVE = 1 << 27, AVX_BIT = 1 << 28, AVX2_BIT = 1 << 5, VNNI_BIT = 1 << 11 };

/* AVX-512 F, DQ, CD, BW and VL, in leaf 7's EBX. */
static const uint32_t AVX512_BITS = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;

/* The register states that the operating system saves: 6 for AVX, 0xe0 more for AVX-512. */
static uint32_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int32_t has(int32_t set) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & AVX_BIT)) return 0;
    const uint32_t saved = saved_states();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((saved & 6) != 6 || !(b & AVX2_BIT)) return 0;
    if (set == MARCH_AVX2) return 1;
    if (set != MARCH_AVX512) return 0;
    return (saved & 0xe6) == 0xe6 && (b & AVX512_BITS) == AVX512_BITS && (c & VNNI_BIT) != 0;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

enum { DOT_PRODUCT_BIT = 1 << 20 };

static int32_t has(int32_t set) {
    return set == MARCH_NEON && (getauxval(AT_HWCAP) & DOT_PRODUCT_BIT) != 0;
}
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

static int32_t has(int32_t set) {
    int32_t value = 0;
    size_t size = sizeof value;
    if (set != MARCH_NEON) return 0;
    return !sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &size, NULL, 0) && value;
}
#else
static int32_t has(int32_t set) {
    (void)set;
    return 0;
}
#endif

int32_t march_has_set(int32_t set) {
    if (set == MARCH_PORTABLE) return 1;
    return set > MARCH_PORTABLE && set < MARCH_SETS && has(set);
}

int32_t march_best_set(void) {
    for (int32_t set = MARCH_SETS - 1; set > MARCH_PORTABLE; set--)
        if (march_has_set(set)) return set;
    return MARCH_PORTABLE;
}
