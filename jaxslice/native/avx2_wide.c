/* AVX2: half panels of 16-bit voxels. See bins.py, avx512_wide.c, and avx2.c for 8 bits.
 *
 * Symbols are loaded as two vectors of 16 lanes, shifted to bytes, and then go through the layers
 * of 8-bit voxels as differences to 128.
 */
#include "avx2_curve.h"

/* How the symbols of 32 lanes are divided into bins, in the order of the mixtures' vectors. */
struct bins {
    vector most[4];             /* levels of the slice, less 1 */
    vector count[4];            /* bins */
    vector origin[4];           /* -16 * reference - 8 */
    vector shift[4], low_bits[4];
    vector loss[4], width_bits[4];
    vector natural_low_bits[4]; /* in the lanes' order */
};

/* 32 lanes of 16 bits: the lower and the upper 16. */
struct halves {
    vector v[2];
};

/* 16 lanes whose bit is set: all bits of their number. */
INLINE vector word_mask(uint32_t bits) {
    const vector bit_of = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048,
                                            4096, 8192, 16384, (short)0x8000);
    return _mm256_cmpeq_epi16(_mm256_and_si256(ALL16((short)bits), bit_of), bit_of);
}

INLINE struct halves load_wide(const struct march *m, int32_t half, int32_t c,
                               struct halves outside) {
    const struct place *place = m->places + c;
    const int32_t panel = half / 2;
    const uint64_t both = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    const uint32_t live = (uint32_t)(both >> (HALF * (half % 2)));
    const uint8_t *row = m->now + place->value + 2 * (int64_t)HALF * half;
    struct halves h;
    UNROLL for (int i = 0; i < 2; i++) {
        const vector v = _mm256_loadu_si256((const vector *)(row + HALF * i));
        h.v[i] = _mm256_blendv_epi8(outside.v[i], v, word_mask(live >> (16 * i)));
    }
    return h;
}

/* Levels of each lane's slice, less 1. */
INLINE struct halves load_most(const struct march *m, int32_t half) {
    struct halves most;
    most.v[0] = most.v[1] = ALL16((short)(m->level_counts[0] - 1));
    if (m->limited) {
        const uint8_t *limits = m->limits_now + 2 * HALF * half;
        UNROLL for (int i = 0; i < 2; i++)
            most.v[i] = _mm256_loadu_si256((const vector *)(limits + HALF * i));
    }
    return most;
}

/* (3 a + 3 b + c + d) >> 3 in 16 bits: eighths and their remainders apart. */
INLINE vector mean_of(vector a, vector b, vector c, vector d) {
    const vector seven = ALL16(7), three = ALL16(3);
    const vector ab = _mm256_add_epi16(_mm256_srli_epi16(a, 3), _mm256_srli_epi16(b, 3));
    const vector cd = _mm256_add_epi16(_mm256_srli_epi16(c, 3), _mm256_srli_epi16(d, 3));
    const vector low_ab = _mm256_add_epi16(_mm256_and_si256(a, seven), _mm256_and_si256(b, seven));
    const vector low_cd = _mm256_add_epi16(_mm256_and_si256(c, seven), _mm256_and_si256(d, seven));
    const vector high = _mm256_add_epi16(_mm256_mullo_epi16(ab, three), cd);
    const vector low = _mm256_add_epi16(_mm256_mullo_epi16(low_ab, three), low_cd);
    return _mm256_add_epi16(high, _mm256_srli_epi16(low, 3));
}

INLINE struct halves load_reference_wide(const struct march *m, int32_t half, struct halves most) {
    struct halves middle, reference;
    UNROLL for (int i = 0; i < 2; i++) /* half the levels: (most + 1) >> 1 */
        middle.v[i] = _mm256_avg_epu16(most.v[i], _mm256_setzero_si256());
    const struct halves f = load_wide(m, half, m->fallback, middle);
    const struct halves a = load_wide(m, half, 0, load_wide(m, half, 1, f));
    const struct halves b = load_wide(m, half, 1, a);
    const struct halves c = load_wide(m, half, 2, b), d = load_wide(m, half, 3, a);
    UNROLL for (int i = 0; i < 2; i++)
        reference.v[i] = mean_of(a.v[i], b.v[i], c.v[i], d.v[i]);
    return reference;
}

/* Two vectors of 8 numbers below 2**16, even and odd lanes, as one of 16 bits. */
INLINE vector from_pairs(vector even, vector odd) {
    return _mm256_or_si256(even, _mm256_slli_epi32(odd, 16));
}

/* Bits of a number from 0 to 2**24: a float32's exponent, which is 0 for 0. */
INLINE vector bit_length(vector v) {
    const vector exponent = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(v)), 23);
    return _mm256_max_epi32(_mm256_sub_epi32(exponent, ALL32(126)), _mm256_setzero_si256());
}

/* The shift of each lane, and its activity. */
INLINE void load_activity(const struct march *m, int32_t half, struct halves reference,
                          struct halves *shift, struct halves *activity) {
    const vector lower = ALL32(0xffff), zero = _mm256_setzero_si256();
    vector sum[2][2];
    UNROLL for (int h = 0; h < 2; h++) sum[h][0] = sum[h][1] = zero;
    for (int32_t c = 0; c < m->activity_count; c++) {
        const struct halves v = load_wide(m, half, c, reference);
        UNROLL for (int h = 0; h < 2; h++) {
            const vector size = _mm256_sub_epi16(_mm256_max_epu16(v.v[h], reference.v[h]),
                                                 _mm256_min_epu16(v.v[h], reference.v[h]));
            sum[h][0] = _mm256_add_epi32(sum[h][0], _mm256_and_si256(size, lower));
            sum[h][1] = _mm256_add_epi32(sum[h][1], _mm256_srli_epi32(size, 16));
        }
    }
    const vector offset = ALL32(m->activity_offset);
    UNROLL for (int h = 0; h < 2; h++) {
        vector s[2], a[2];
        UNROLL for (int i = 0; i < 2; i++) {
            s[i] = _mm256_min_epi32(bit_length(_mm256_srli_epi32(sum[h][i], 8)),
                                    ALL32(SHIFT_HIGH));
            const vector near = _mm256_srlv_epi32(sum[h][i], s[i]);
            const vector scaled = _mm256_srli_epi32(_mm256_mullo_epi32(near, offset), 8);
            const vector more = _mm256_blendv_epi8(scaled, offset, _mm256_cmpeq_epi32(s[i], zero));
            a[i] = _mm256_min_epi32(_mm256_add_epi32(near, more), ALL32(ACTIVITY_HIGH));
        }
        shift->v[h] = from_pairs(s[0], s[1]);
        activity->v[h] = from_pairs(a[0], a[1]);
    }
}

/* 32 lanes of 16 bits as 32 bits, in the order of the mixtures' vectors. */
INLINE void widen(struct halves h, vector out[4]) {
    UNROLL for (int i = 0; i < 2; i++) {
        out[2 * i] = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(h.v[i]));
        out[2 * i + 1] = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(h.v[i], 1));
    }
    from_natural(out);
}

/* Shifts of 16-bit numbers by 0 to SHIFT_HIGH, as products with powers of 2. */
struct shifts {
    vector up;   /* 2**shift */
    vector down; /* 2**(16 - shift), of which the upper half of a product is a shift; 0 for 2**16 */
    vector none; /* where the shift is 0 */
};

INLINE struct shifts shifts_of(vector shift) {
    /* Bytes of 2**n; the shift of the other byte is beyond them. */
    const vector powers = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0));
    const vector beyond = ALL16((short)0x8000);
    const vector low = _mm256_shuffle_epi8(powers, _mm256_or_si256(shift, beyond));
    const vector over = _mm256_cmpeq_epi16(shift, ALL16(8));
    struct shifts s;
    s.up = _mm256_or_si256(low, _mm256_and_si256(over, ALL16(256)));
    s.none = _mm256_cmpeq_epi16(shift, _mm256_setzero_si256());
    /* 2**(16 - shift): the byte of 8 - shift, in the upper half. */
    const vector rest = _mm256_sub_epi16(ALL16(8), shift);
    const vector high = _mm256_shuffle_epi8(powers, _mm256_or_si256(rest, beyond));
    s.down = _mm256_slli_epi16(high, 8);
    return s;
}

/* Unsigned. */
INLINE vector shifted_down(vector v, const struct shifts *s) {
    return _mm256_blendv_epi8(_mm256_mulhi_epu16(v, s->down), v, s->none);
}

INLINE vector shifted_up(vector v, const struct shifts *s) {
    return _mm256_mullo_epi16(v, s->up);
}

/* Inputs of the first layer to `work->context`: differences as bytes, 128 more. Subtraction, the
 * addition of a half and the packing saturate; so far out the result is clipped anyway. */
INLINE void load_inputs(const struct march *m, int32_t half_panel, struct work *work,
                        struct halves reference, const struct shifts shifts[2]) {
    const vector flip = ALL16((short)0x8000);
    vector signed_reference[2], half[2], base[2];
    UNROLL for (int h = 0; h < 2; h++) {
        signed_reference[h] = _mm256_xor_si256(reference.v[h], flip);
        half[h] = _mm256_srli_epi16(shifts[h].up, 1);
        base[h] = shifted_down(flip, shifts + h);
    }
    for (int32_t c = 0; c < m->context_count; c += 4) {
        vector bytes[4];
        UNROLL for (int i = 0; i < 4; i++) {
            const struct halves v = load_wide(m, half_panel, c + i, reference);
            vector d[2];
            UNROLL for (int h = 0; h < 2; h++) {
                d[h] = _mm256_subs_epi16(_mm256_xor_si256(v.v[h], flip), signed_reference[h]);
                d[h] = _mm256_xor_si256(_mm256_adds_epi16(d[h], half[h]), flip);
                d[h] = _mm256_sub_epi16(shifted_down(d[h], shifts + h), base[h]);
            }
            const vector packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(d[0], d[1]), 0xd8);
            bytes[i] = _mm256_xor_si256(packed, _mm256_set1_epi8((char)0x80));
        }
        interleave_four(bytes, work->context + c);
    }
}

/* The two inputs beside the differences: set_scales gives the second as for 8 bits. */
INLINE void set_extras(struct features *f, int j, vector reference, vector shift, vector most) {
    const vector beyond =
        _mm256_max_epi32(_mm256_sub_epi32(bit_length(most), ALL32(8)), _mm256_setzero_si256());
    const vector tone = _mm256_sub_epi32(_mm256_srlv_epi32(reference, beyond), ALL32(128));
    const vector more = _mm256_slli_epi32(_mm256_sub_epi32(shift, beyond), 16 + 4);
    f->extras[j] = _mm256_blend_epi16(tone, _mm256_add_epi32(f->extras[j], more), 0xaa);
}

INLINE void set_bins(struct bins *b, int j, vector reference) {
    const vector zero = _mm256_setzero_si256(), bits = bit_length(b->most[j]);
    vector low_bits = _mm256_max_epi32(_mm256_sub_epi32(b->shift[j], ALL32(FINER)), zero);
    b->low_bits[j] = low_bits = _mm256_min_epi32(low_bits, bits);
    b->count[j] = _mm256_add_epi32(_mm256_srlv_epi32(b->most[j], low_bits), ALL32(1));
    b->origin[j] = _mm256_sub_epi32(ALL32(-8), _mm256_slli_epi32(reference, 4));
    const vector k = _mm256_sub_epi32(bits, low_bits);
    b->loss[j] = _mm256_min_epi32(ALL32(LOSS_SHIFT), _mm256_sub_epi32(ALL32(PRECISION), k));
    b->width_bits[j] = _mm256_max_epi32(_mm256_sub_epi32(ALL32(WIDTH_BITS), k), zero);
}

static __attribute__((noinline)) void evaluate_wide(const struct march *m, int32_t half,
                                                    struct features *f, struct bins *b) {
    struct halves shift, activity;
    struct shifts shifts[2];
    const struct halves most = load_most(m, half);
    struct halves reference = load_reference_wide(m, half, most);
    load_activity(m, half, reference, &shift, &activity);
    UNROLL for (int h = 0; h < 2; h++) {
        shifts[h] = shifts_of(shift.v[h]);
        reference.v[h] = shifted_up(shifted_down(reference.v[h], shifts + h), shifts + h);
    }
    load_inputs(m, half, m->work, reference, shifts);
    vector references[4];
    widen(reference, references);
    widen(activity, f->activity);
    widen(shift, b->shift);
    widen(most, b->most);
    UNROLL for (int j = 0; j < 4; j++) {
        f->reference[j] = ALL32(128);
        set_scales(f, j);
        set_extras(f, j, references[j], b->shift[j], b->most[j]);
        set_bins(b, j, references[j]);
        b->natural_low_bits[j] = b->low_bits[j];
    }
    to_natural(b->natural_low_bits);
    first_layer(m, m->work, f);
    further_layers(m, m->work);
    UNROLL for (int j = 0; j < 4; j++) f->reference[j] = _mm256_setzero_si256();
}

INLINE void predict_wide(const struct march *m, int32_t half, const int count,
                         struct mixtures *mix, struct bins *b) {
    struct features f;
    evaluate_wide(m, half, &f, b);
    UNROLL for (int j = 0; j < 4; j++)
        set_mixtures(m->work, &f, j, count, 0, OFFSET_HIGH, mix);
}

/* C of bin `index` of vector j, but for the first and beyond the last. */
INLINE vector cumulative_wide(const struct mixtures *mix, const struct bins *b, int j, vector index,
                              const int pairs) {
    vector edge = _mm256_sllv_epi32(_mm256_slli_epi32(index, 4), b->low_bits[j]);
    edge = _mm256_srav_epi32(_mm256_add_epi32(edge, b->origin[j]), b->shift[j]);
    edge = clip32(edge, EDGE_LOW, EDGE_HIGH);
    vector distance[MAX_COMPONENTS], weights[MAX_COMPONENTS / 2];
    UNROLL for (int k = 0; k < 2 * pairs; k++)
        distance[k] = _mm256_add_epi32(_mm256_mullo_epi32(edge, mix->inverse[k][j]),
                                       mix->start[k][j]);
    UNROLL for (int p = 0; p < pairs; p++) weights[p] = mix->weights[p][j];
    const vector sum = mass_below(distance, weights, pairs);
    const vector kept = _mm256_sub_epi32(sum, _mm256_srav_epi32(sum, b->loss[j]));
    return _mm256_add_epi32(kept, _mm256_sllv_epi32(index, b->width_bits[j]));
}

/* The largest of 8 numbers. */
INLINE int32_t largest_of(vector v) {
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1)));
}

/* Finds the bins whose intervals hold the positions; see find_two of avx512.c. */
INLINE void find_bins(const struct mixtures *mix, const struct bins *b, int first,
                      const vector *positions, const int pairs, vector *bin, vector *start,
                      vector *end) {
    const int32_t most = largest_of(_mm256_max_epi32(b->count[first], b->count[first + 1])) - 1;
    UNROLL for (int j = first; j < first + 2; j++) {
        bin[j] = start[j] = _mm256_setzero_si256();
        end[j] = ALL32(TOTAL);
    }
    for (int32_t half = most ? 1 << (31 - __builtin_clz((unsigned)most)) : 0; half; half >>= 1)
        UNROLL for (int j = first; j < first + 2; j++) {
            const vector middle = _mm256_add_epi32(bin[j], ALL32(half));
            const vector c = cumulative_wide(mix, b, j, middle, pairs);
            const vector inside = _mm256_cmpgt_epi32(b->count[j], middle);
            const vector beyond = _mm256_cmpgt_epi32(c, positions[j]);
            const vector reached = _mm256_andnot_si256(beyond, inside);
            end[j] = _mm256_blendv_epi8(end[j], c, _mm256_and_si256(beyond, inside));
            start[j] = _mm256_blendv_epi8(start[j], c, reached);
            bin[j] = _mm256_blendv_epi8(bin[j], middle, reached);
        }
}

INLINE void store_live(uint32_t *p, vector old, vector now, vector live) {
    store8(p, _mm256_blendv_epi8(old, now, live));
}

/* Takes the low bits off 8 lanes' states. */
INLINE vector take_low(struct march *m, int32_t lane, vector live, vector bits) {
    const vector high = load8(m->high + lane), low = load8(m->low + lane);
    const vector left = _mm256_sub_epi32(ALL32(32), bits);
    const vector plain = _mm256_andnot_si256(_mm256_sllv_epi32(ALL32(-1), bits), low);
    const vector shifted =
        _mm256_or_si256(_mm256_srlv_epi32(low, bits), _mm256_sllv_epi32(high, left));
    store_live(m->high + lane, high, _mm256_srlv_epi32(high, bits), live);
    store_live(m->low + lane, low, shifted, live);
    return plain;
}

/* Puts low bits on 8 lanes' states; the push before left room for them. */
INLINE void put_low(struct march *m, int32_t lane, vector live, vector bits, vector plain) {
    const vector high = load8(m->high + lane), low = load8(m->low + lane);
    const vector left = _mm256_sub_epi32(ALL32(32), bits);
    const vector shifted =
        _mm256_or_si256(_mm256_sllv_epi32(high, bits), _mm256_srlv_epi32(low, left));
    store_live(m->high + lane, high, shifted, live);
    store_live(m->low + lane, low, _mm256_or_si256(_mm256_sllv_epi32(low, bits), plain), live);
}

/* 32 lanes' symbols, which are in the lanes' order, to the present row. */
INLINE void store_symbols(const struct march *m, int32_t half, const vector symbols[4]) {
    uint8_t *row = m->now + 2 * (int64_t)HALF * half;
    UNROLL for (int i = 0; i < 2; i++) {
        const vector packed = _mm256_packus_epi32(symbols[2 * i], symbols[2 * i + 1]);
        _mm256_storeu_si256((vector *)(row + HALF * i), _mm256_permute4x64_epi64(packed, 0xd8));
    }
}

INLINE void decode_half(struct march *m, int32_t half, uint32_t live, const int count) {
    const int pairs = (count + 1) / 2;
    struct mixtures mix;
    struct bins b;
    predict_wide(m, half, count, &mix, &b);
    vector natural[4], position[4], plain[4], bin[4], start[4], end[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const int32_t lane = HALF * half + 8 * j;
        plain[j] = take_low(m, lane, lane_mask(live >> (8 * j)), b.natural_low_bits[j]);
        natural[j] = position[j] = _mm256_and_si256(load8(m->low + lane), ALL32(TOTAL - 1));
    }
    from_natural(position);
    from_natural(plain);
    find_bins(&mix, &b, 0, position, pairs, bin, start, end);
    find_bins(&mix, &b, 2, position, pairs, bin, start, end);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector symbol = _mm256_or_si256(_mm256_sllv_epi32(bin[j], b.low_bits[j]), plain[j]);
        bin[j] = _mm256_min_epi32(symbol, b.most[j]);
        end[j] = _mm256_sub_epi32(end[j], start[j]);
    }
    to_natural(bin);
    to_natural(start);
    to_natural(end);
    store_symbols(m, half, bin);
    UNROLL for (int j = 0; j < 4; j++)
        pop(m, orders_of(m), HALF * half + 8 * j, lane_mask(live >> (8 * j)), end[j],
            _mm256_sub_epi32(natural[j], start[j]));
}

INLINE void encode_half(struct march *m, int32_t half, uint32_t live, const int count) {
    const int pairs = (count + 1) / 2;
    const vector zero = _mm256_setzero_si256();
    struct mixtures mix;
    struct bins b;
    predict_wide(m, half, count, &mix, &b);
    const vector *row = (const vector *)(m->now + 2 * (int64_t)HALF * half);
    const struct halves loaded = {{_mm256_loadu_si256(row), _mm256_loadu_si256(row + 1)}};
    vector symbol[4], plain[4], start[4], freq[4];
    widen(loaded, symbol);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector bin = _mm256_srlv_epi32(symbol[j], b.low_bits[j]);
        const vector next = _mm256_add_epi32(bin, ALL32(1));
        const vector c = cumulative_wide(&mix, &b, j, bin, pairs);
        const vector d = cumulative_wide(&mix, &b, j, next, pairs);
        plain[j] = _mm256_andnot_si256(_mm256_sllv_epi32(ALL32(-1), b.low_bits[j]), symbol[j]);
        start[j] = _mm256_andnot_si256(_mm256_cmpeq_epi32(bin, zero), c);
        const vector inside = _mm256_cmpgt_epi32(b.count[j], next);
        freq[j] = _mm256_sub_epi32(_mm256_blendv_epi8(ALL32(TOTAL), d, inside), start[j]);
    }
    to_natural(plain);
    to_natural(start);
    to_natural(freq);
    UNROLL for (int j = 3; j >= 0; j--) {
        const int32_t lane = HALF * half + 8 * j;
        const vector bits = b.natural_low_bits[j], on = lane_mask(live >> (8 * j));
        const vector full_from = _mm256_sllv_epi32(freq[j], _mm256_sub_epi32(ALL32(7), bits));
        push_below(m, orders_of(m), lane, on, freq[j], start[j], full_from);
        if (m->failed) return;
        put_low(m, lane, on, bits, plain[j]);
    }
}

#include "avx2_halves.h"

void avx2_wide_decode(struct march *m, int32_t panel) { decoders[m->components - 1](m, panel); }
void avx2_wide_encode(struct march *m, int32_t panel) { encoders[m->components - 1](m, panel); }
