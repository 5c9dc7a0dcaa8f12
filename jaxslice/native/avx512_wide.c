/* AVX-512 with VNNI: panels of 16-bit voxels. See bins.py, and avx512.c for 8 bits.
 *
 * Symbols are loaded as two vectors of 32 lanes, shifted to bytes, and then go through the layers
 * of 8-bit voxels as differences to 128.
 */
#include "avx512_curve.h"
#include "avx512_states.h"

/* How the symbols of 64 lanes are divided into bins, in the order of the mixtures' vectors. */
struct bins {
    vector most[4];             /* levels of the slice, less 1 */
    vector count[4];            /* bins */
    vector origin[4];           /* -16 * reference - 8 */
    vector shift[4], low_bits[4];
    vector loss[4], width_bits[4];
    vector natural_low_bits[4]; /* in the lanes' order */
};

/* 64 lanes of 16 bits: the lower and the upper 32. */
struct halves {
    vector v[2];
};

INLINE struct halves load_wide(const struct march *m, int32_t panel, int32_t c,
                               struct halves outside) {
    const struct place *place = m->places + c;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    const uint8_t *row = m->now + place->value + 2 * PANEL * panel;
    struct halves h;
    h.v[0] = _mm512_mask_loadu_epi16(outside.v[0], (__mmask32)live, row);
    h.v[1] = _mm512_mask_loadu_epi16(outside.v[1], (__mmask32)(live >> 32), row + PANEL);
    return h;
}

/* Levels of each lane's slice, less 1. */
INLINE struct halves load_most(const struct march *m, int32_t panel) {
    struct halves most;
    most.v[0] = most.v[1] = ALL16((short)(m->level_counts[0] - 1));
    if (m->limited) {
        const uint8_t *limits = m->limits_now + 2 * PANEL * panel;
        UNROLL for (int h = 0; h < 2; h++) most.v[h] = _mm512_loadu_si512(limits + PANEL * h);
    }
    return most;
}

/* (3 a + 3 b + c + d) >> 3 in 16 bits: eighths and their remainders apart. */
INLINE vector mean_of(vector a, vector b, vector c, vector d) {
    const vector seven = ALL16(7), three = ALL16(3);
    const vector ab = _mm512_add_epi16(_mm512_srli_epi16(a, 3), _mm512_srli_epi16(b, 3));
    const vector cd = _mm512_add_epi16(_mm512_srli_epi16(c, 3), _mm512_srli_epi16(d, 3));
    const vector low_ab = _mm512_add_epi16(_mm512_and_si512(a, seven), _mm512_and_si512(b, seven));
    const vector low_cd = _mm512_add_epi16(_mm512_and_si512(c, seven), _mm512_and_si512(d, seven));
    const vector high = _mm512_add_epi16(_mm512_mullo_epi16(ab, three), cd);
    const vector low = _mm512_add_epi16(_mm512_mullo_epi16(low_ab, three), low_cd);
    return _mm512_add_epi16(high, _mm512_srli_epi16(low, 3));
}

INLINE struct halves load_reference_wide(const struct march *m, int32_t panel, struct halves most) {
    struct halves middle, reference;
    UNROLL for (int h = 0; h < 2; h++) /* half the levels: (most + 1) >> 1 */
        middle.v[h] = _mm512_avg_epu16(most.v[h], _mm512_setzero_si512());
    const struct halves f = load_wide(m, panel, m->fallback, middle);
    const struct halves a = load_wide(m, panel, 0, load_wide(m, panel, 1, f));
    const struct halves b = load_wide(m, panel, 1, a);
    const struct halves c = load_wide(m, panel, 2, b), d = load_wide(m, panel, 3, a);
    UNROLL for (int h = 0; h < 2; h++)
        reference.v[h] = mean_of(a.v[h], b.v[h], c.v[h], d.v[h]);
    return reference;
}

/* Two vectors of 32 numbers below 2**16, even and odd lanes, as one of 16 bits. */
INLINE vector from_pairs(vector even, vector odd) {
    return _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
}

/* Bits of a number of at least 0. */
INLINE vector bit_length(vector v) { return _mm512_sub_epi32(ALL32(32), _mm512_lzcnt_epi32(v)); }

/* The shift of each lane, and its activity. */
INLINE void load_activity(const struct march *m, int32_t panel, struct halves reference,
                          struct halves *shift, struct halves *activity) {
    const vector lower = ALL32(0xffff);
    vector sum[2][2];
    UNROLL for (int h = 0; h < 2; h++) sum[h][0] = sum[h][1] = _mm512_setzero_si512();
    for (int32_t c = 0; c < m->activity_count; c++) {
        const struct halves v = load_wide(m, panel, c, reference);
        UNROLL for (int h = 0; h < 2; h++) {
            const vector size = _mm512_sub_epi16(_mm512_max_epu16(v.v[h], reference.v[h]),
                                                 _mm512_min_epu16(v.v[h], reference.v[h]));
            sum[h][0] = _mm512_add_epi32(sum[h][0], _mm512_and_si512(size, lower));
            sum[h][1] = _mm512_add_epi32(sum[h][1], _mm512_srli_epi32(size, 16));
        }
    }
    const vector offset = ALL32(m->activity_offset);
    UNROLL for (int h = 0; h < 2; h++) {
        vector s[2], a[2];
        UNROLL for (int i = 0; i < 2; i++) {
            s[i] = _mm512_min_epi32(bit_length(_mm512_srli_epi32(sum[h][i], 8)),
                                    ALL32(SHIFT_HIGH));
            const vector near = _mm512_srlv_epi32(sum[h][i], s[i]);
            const vector more = _mm512_mask_mov_epi32(
                offset, _mm512_test_epi32_mask(s[i], s[i]),
                _mm512_srli_epi32(_mm512_mullo_epi32(near, offset), 8));
            a[i] = _mm512_min_epi32(_mm512_add_epi32(near, more), ALL32(ACTIVITY_HIGH));
        }
        shift->v[h] = from_pairs(s[0], s[1]);
        activity->v[h] = from_pairs(a[0], a[1]);
    }
}

/* 64 lanes of 16 bits as 32 bits: in the lanes' order. */
INLINE void widen(struct halves h, vector out[4]) {
    UNROLL for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(h.v[i]));
        out[2 * i + 1] = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h.v[i], 1));
    }
}

/* Inputs of the first layer to `work->context`: differences as bytes, 128 more. Subtraction, the
 * addition of a half and the packing saturate; so far out the result is clipped anyway. */
INLINE void load_inputs(const struct march *m, int32_t panel, struct work *work,
                        struct halves reference, struct halves shift) {
    const vector flip = ALL16((short)0x8000), one = ALL16(1);
    const vector in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    vector signed_reference[2], half[2];
    UNROLL for (int h = 0; h < 2; h++) {
        signed_reference[h] = _mm512_xor_si512(reference.v[h], flip);
        half[h] = _mm512_srli_epi16(_mm512_sllv_epi16(one, shift.v[h]), 1);
    }
    for (int32_t c = 0; c < m->context_count; c += 4) {
        vector bytes[4];
        UNROLL for (int i = 0; i < 4; i++) {
            const struct halves v = load_wide(m, panel, c + i, reference);
            vector d[2];
            UNROLL for (int h = 0; h < 2; h++) {
                d[h] = _mm512_subs_epi16(_mm512_xor_si512(v.v[h], flip), signed_reference[h]);
                d[h] = _mm512_srav_epi16(_mm512_adds_epi16(d[h], half[h]), shift.v[h]);
            }
            const vector packed = _mm512_packs_epi16(d[0], d[1]);
            bytes[i] = _mm512_xor_si512(_mm512_permutexvar_epi64(in_order, packed),
                                        _mm512_set1_epi8((char)0x80));
        }
        interleave(bytes, work->context + c);
    }
}

/* The two inputs beside the differences: set_scales gives the second as for 8 bits. */
INLINE void set_extras(struct features *f, int j, vector reference, vector shift, vector most) {
    const vector bits = bit_length(most);
    const vector beyond =
        _mm512_max_epi32(_mm512_sub_epi32(bits, ALL32(8)), _mm512_setzero_si512());
    const vector tone = _mm512_sub_epi32(_mm512_srlv_epi32(reference, beyond), ALL32(128));
    const vector more = _mm512_slli_epi32(_mm512_sub_epi32(shift, beyond), 16 + 4);
    const vector loglevel = _mm512_add_epi32(f->extras[j], more);
    f->extras[j] = _mm512_mask_mov_epi16(loglevel, 0x55555555, tone);
}

INLINE void set_bins(struct bins *b, int j, vector reference) {
    const vector zero = _mm512_setzero_si512(), bits = bit_length(b->most[j]);
    vector low_bits = _mm512_max_epi32(_mm512_sub_epi32(b->shift[j], ALL32(FINER)), zero);
    b->low_bits[j] = low_bits = _mm512_min_epi32(low_bits, bits);
    b->count[j] = _mm512_add_epi32(_mm512_srlv_epi32(b->most[j], low_bits), ALL32(1));
    b->origin[j] = _mm512_sub_epi32(ALL32(-8), _mm512_slli_epi32(reference, 4));
    const vector k = _mm512_sub_epi32(bits, low_bits);
    b->loss[j] = _mm512_min_epi32(ALL32(LOSS_SHIFT), _mm512_sub_epi32(ALL32(PRECISION), k));
    b->width_bits[j] = _mm512_max_epi32(_mm512_sub_epi32(ALL32(WIDTH_BITS), k), zero);
}

static __attribute__((noinline)) void evaluate_wide(const struct march *m, int32_t panel,
                                                    struct features *f, struct bins *b) {
    struct halves shift, activity;
    const struct halves most = load_most(m, panel);
    struct halves reference = load_reference_wide(m, panel, most);
    load_activity(m, panel, reference, &shift, &activity);
    UNROLL for (int h = 0; h < 2; h++) {
        const vector units = _mm512_srlv_epi16(reference.v[h], shift.v[h]);
        reference.v[h] = _mm512_sllv_epi16(units, shift.v[h]);
    }
    load_inputs(m, panel, m->work, reference, shift);
    vector references[4];
    widen(reference, references);
    widen(activity, f->activity);
    widen(shift, b->shift);
    widen(most, b->most);
    transpose4(references);
    transpose4(f->activity);
    transpose4(b->shift);
    transpose4(b->most);
    UNROLL for (int j = 0; j < 4; j++) {
        f->reference[j] = ALL32(128);
        set_scales(f, j);
        set_extras(f, j, references[j], b->shift[j], b->most[j]);
        set_bins(b, j, references[j]);
        b->natural_low_bits[j] = b->low_bits[j];
    }
    transpose4(b->natural_low_bits);
    first_layer(m, m->work, f);
    further_layers(m, m->work);
    UNROLL for (int j = 0; j < 4; j++) f->reference[j] = _mm512_setzero_si512();
}

INLINE void predict_wide(const struct march *m, int32_t panel, const int count,
                         struct mixtures *mix, struct bins *b) {
    struct features f;
    evaluate_wide(m, panel, &f, b);
    UNROLL for (int j = 0; j < 4; j++)
        set_mixtures(m->work, &f, j, count, 0, OFFSET_HIGH, mix);
}

/* C of bin `index` of vector j, but for the first and beyond the last. */
INLINE vector cumulative_wide(const struct mixtures *mix, const struct bins *b, int j, vector index,
                              const int pairs) {
    vector edge = _mm512_sllv_epi32(_mm512_slli_epi32(index, 4), b->low_bits[j]);
    edge = _mm512_srav_epi32(_mm512_add_epi32(edge, b->origin[j]), b->shift[j]);
    edge = clip32(edge, EDGE_LOW, EDGE_HIGH);
    vector distance[MAX_COMPONENTS], weights[MAX_COMPONENTS / 2];
    UNROLL for (int k = 0; k < 2 * pairs; k++)
        distance[k] = _mm512_add_epi32(_mm512_mullo_epi32(edge, mix->inverse[k][j]),
                                       mix->start[k][j]);
    UNROLL for (int p = 0; p < pairs; p++) weights[p] = mix->weights[p][j];
    const vector sum = mass_below(distance, weights, pairs);
    const vector kept = _mm512_sub_epi32(sum, _mm512_srav_epi32(sum, b->loss[j]));
    return _mm512_add_epi32(kept, _mm512_sllv_epi32(index, b->width_bits[j]));
}

/* Finds the bins whose intervals hold the positions; see find_two of avx512.c. */
INLINE void find_bins(const struct mixtures *mix, const struct bins *b, int first,
                      const vector *positions, const int pairs, vector *bin, vector *start,
                      vector *end) {
    const vector last = _mm512_sub_epi32(
        _mm512_max_epi32(b->count[first], b->count[first + 1]), ALL32(1));
    const int32_t most = _mm512_reduce_max_epi32(last);
    UNROLL for (int j = first; j < first + 2; j++) {
        bin[j] = start[j] = _mm512_setzero_si512();
        end[j] = ALL32(TOTAL);
    }
    for (int32_t half = most ? 1 << (31 - __builtin_clz((unsigned)most)) : 0; half; half >>= 1)
        UNROLL for (int j = first; j < first + 2; j++) {
            const vector middle = _mm512_add_epi32(bin[j], ALL32(half));
            const vector c = cumulative_wide(mix, b, j, middle, pairs);
            const mask inside = _mm512_cmplt_epi32_mask(middle, b->count[j]);
            const mask reached = _mm512_mask_cmple_epi32_mask(inside, c, positions[j]);
            const mask above = (mask)(inside & ~reached);
            end[j] = _mm512_mask_mov_epi32(end[j], above, c);
            start[j] = _mm512_mask_mov_epi32(start[j], reached, c);
            bin[j] = _mm512_mask_mov_epi32(bin[j], reached, middle);
        }
}

/* Takes the low bits off 16 lanes' states. */
INLINE vector take_low(struct march *m, int32_t lane, mask live, vector bits) {
    const vector high = _mm512_load_si512(m->high + lane), low = _mm512_load_si512(m->low + lane);
    const vector left = _mm512_sub_epi32(ALL32(32), bits);
    const vector plain = _mm512_andnot_si512(_mm512_sllv_epi32(ALL32(-1), bits), low);
    const vector shifted =
        _mm512_or_si512(_mm512_srlv_epi32(low, bits), _mm512_sllv_epi32(high, left));
    _mm512_mask_store_epi32(m->high + lane, live, _mm512_srlv_epi32(high, bits));
    _mm512_mask_store_epi32(m->low + lane, live, shifted);
    return plain;
}

/* Puts low bits on 16 lanes' states; the push before left room for them. */
INLINE void put_low(struct march *m, int32_t lane, mask live, vector bits, vector plain) {
    const vector high = _mm512_load_si512(m->high + lane), low = _mm512_load_si512(m->low + lane);
    const vector left = _mm512_sub_epi32(ALL32(32), bits);
    const vector shifted =
        _mm512_or_si512(_mm512_sllv_epi32(high, bits), _mm512_srlv_epi32(low, left));
    _mm512_mask_store_epi32(m->high + lane, live, shifted);
    _mm512_mask_store_epi32(m->low + lane, live,
                            _mm512_or_si512(_mm512_sllv_epi32(low, bits), plain));
}

INLINE void decode_panel(struct march *m, int32_t panel, const int count) {
    const int pairs = (count + 1) / 2;
    const uint64_t live = live_lanes(m, panel);
    struct mixtures mix;
    struct bins b;
    predict_wide(m, panel, count, &mix, &b);
    vector natural[4], position[4], plain[4], bin[4], start[4], end[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const int32_t lane = PANEL * panel + 16 * j;
        plain[j] = take_low(m, lane, (mask)(live >> (16 * j)), b.natural_low_bits[j]);
        const vector low = _mm512_load_si512(m->low + lane);
        natural[j] = position[j] = _mm512_and_si512(low, ALL32(TOTAL - 1));
    }
    transpose4(position);
    transpose4(plain);
    find_bins(&mix, &b, 0, position, pairs, bin, start, end);
    find_bins(&mix, &b, 2, position, pairs, bin, start, end);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector symbol = _mm512_or_si512(_mm512_sllv_epi32(bin[j], b.low_bits[j]), plain[j]);
        bin[j] = _mm512_min_epi32(symbol, b.most[j]);
        end[j] = _mm512_sub_epi32(end[j], start[j]);
    }
    transpose4(bin);
    transpose4(start);
    transpose4(end);
    UNROLL for (int j = 0; j < 4; j++) {
        _mm256_storeu_si256((__m256i *)(m->now + 2 * (PANEL * panel + 16 * j)),
                            _mm512_cvtepi32_epi16(bin[j]));
        pop(m, PANEL * panel + 16 * j, (mask)(live >> (16 * j)), end[j],
            _mm512_sub_epi32(natural[j], start[j]));
    }
}

INLINE void encode_panel(struct march *m, int32_t panel, const int count) {
    const int pairs = (count + 1) / 2;
    struct mixtures mix;
    struct bins b;
    predict_wide(m, panel, count, &mix, &b);
    vector symbol[4], plain[4], start[4], freq[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const uint8_t *lanes = m->now + 2 * (PANEL * panel + 16 * j);
        symbol[j] = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)lanes));
    }
    transpose4(symbol);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector bin = _mm512_srlv_epi32(symbol[j], b.low_bits[j]);
        const vector next = _mm512_add_epi32(bin, ALL32(1));
        const vector c = cumulative_wide(&mix, &b, j, bin, pairs);
        const vector d = cumulative_wide(&mix, &b, j, next, pairs);
        plain[j] = _mm512_andnot_si512(_mm512_sllv_epi32(ALL32(-1), b.low_bits[j]), symbol[j]);
        start[j] = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(bin, bin), c);
        const mask last = _mm512_cmpge_epi32_mask(next, b.count[j]);
        freq[j] = _mm512_sub_epi32(_mm512_mask_mov_epi32(d, last, ALL32(TOTAL)), start[j]);
    }
    transpose4(plain);
    transpose4(start);
    transpose4(freq);
    const uint64_t live = live_lanes(m, panel);
    UNROLL for (int j = 3; j >= 0; j--) {
        const int32_t lane = PANEL * panel + 16 * j;
        const vector bits = b.natural_low_bits[j];
        const vector full_from = _mm512_sllv_epi32(freq[j], _mm512_sub_epi32(ALL32(7), bits));
        push_below(m, lane, (mask)(live >> (16 * j)), freq[j], start[j], full_from);
        if (m->failed) return;
        put_low(m, lane, (mask)(live >> (16 * j)), bits, plain[j]);
    }
}

#include "by_components.h"

void avx512_wide_decode(struct march *m, int32_t panel) { decoders[m->components - 1](m, panel); }
void avx512_wide_encode(struct march *m, int32_t panel) { encoders[m->components - 1](m, panel); }
