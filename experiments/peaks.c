/* What one core can do at most, on registers alone: see native_roofline.py.
 *
 * Prints a line for each kernel that the core has: its name, and operations a second. Twelve
 * independent chains hide the latency of each instruction. Time is CPU time.
 */
#include <stdio.h>
#include <time.h>

enum { CHAINS = 12, STEPS = 2000000, ROUNDS = 7 };

#define TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)

/* Each addition waits for the one before, which takes a cycle. */
#define CYCLE(n) "add $1, %%rax\n\t"
#define DOT_512(n) "vpdpbusd %%zmm12, %%zmm12, %%zmm" #n "\n\t"
#define FMA_512(n) "vfmadd231ps %%zmm12, %%zmm12, %%zmm" #n "\n\t"
#define ADD_512(n) "vpaddd %%zmm12, %%zmm" #n ", %%zmm" #n "\n\t"
/* Two cells of four products in each of eight lanes, and their sum, as the AVX2 engine needs them. */
#define DOT_256(n)                                                                             \
    "vpmaddubsw %%ymm12, %%ymm12, %%ymm13\n\tvpmaddubsw %%ymm12, %%ymm12, %%ymm14\n\t"        \
    "vpaddw %%ymm13, %%ymm14, %%ymm13\n\tvpmaddwd %%ymm12, %%ymm13, %%ymm13\n\t"               \
    "vpaddd %%ymm13, %%ymm" #n ", %%ymm" #n "\n\t"
#define FMA_256(n) "vfmadd231ps %%ymm12, %%ymm12, %%ymm" #n "\n\t"
#define ADD_256(n) "vpaddd %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"

#define USED                                                                                   \
    "rax", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",     \
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14"

#define KERNEL(name, f)                                                                        \
    static void name(void) {                                                                   \
        for (long step = 0; step < STEPS; step++) __asm__ volatile(TWELVE(f) : : : USED);      \
    }

KERNEL(cycles, CYCLE)
KERNEL(dot_512, DOT_512)
KERNEL(fma_512, FMA_512)
KERNEL(add_512, ADD_512)
KERNEL(dot_256, DOT_256)
KERNEL(fma_256, FMA_256)
KERNEL(add_256, ADD_256)

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void report(const char *name, void (*kernel)(void), double operations) {
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        kernel();
        double spent = seconds() - start;
        if (spent < best) best = spent;
    }
    printf("%s %.6g\n", name, operations * STEPS * CHAINS / best);
}

int main(void) {
    report("cycles", cycles, 1);
    if (__builtin_cpu_supports("avx2")) {
        report("dot_256", dot_256, 64);
        report("fma_256", fma_256, 8);
        report("add_256", add_256, 8);
    }
    if (__builtin_cpu_supports("avx512vnni")) {
        report("dot_512", dot_512, 64);
        report("fma_512", fma_512, 16);
        report("add_512", add_512, 16);
    }
    return 0;
}
