/* See avx2_pack.h. */
#include "avx2_pack.h"

enum { MAX_CELLS = 2 * MAX_CONTEXT / INPUTS_OF_CELL };

struct cell {
    int32_t from;
    int8_t weights[INPUTS_OF_CELL];
    int32_t sizes[2]; /* of two weights each, together */
    int32_t fullness; /* the larger of both */
};

struct row {
    int32_t count;
    struct cell cells[MAX_CELLS]; /* the fullest first */
};

static int32_t size_of(int32_t weight) { return weight < 0 ? -weight : weight; }

static void set_sizes(struct cell *cell) {
    for (int32_t p = 0; p < 2; p++)
        cell->sizes[p] = size_of(cell->weights[2 * p]) + size_of(cell->weights[2 * p + 1]);
    cell->fullness = larger(cell->sizes[0], cell->sizes[1]);
}

/* Puts a cell in its place, unless its weights are 0. */
static void add_cell(struct row *row, struct cell cell) {
    set_sizes(&cell);
    if (cell.fullness == 0) return;
    int32_t i = row->count++;
    for (; i > 0 && row->cells[i - 1].fullness < cell.fullness; i--)
        row->cells[i] = row->cells[i - 1];
    row->cells[i] = cell;
}

static void find_cells(struct row *row, const int8_t *weights, int32_t inputs) {
    row->count = 0;
    for (int32_t first = 0; first < inputs; first += INPUTS_OF_CELL) {
        struct cell cell = {.from = first / INPUTS_OF_CELL * BYTES_OF_INPUTS}, half = cell;
        for (int32_t i = 0; i < smaller(INPUTS_OF_CELL, inputs - first); i++)
            cell.weights[i] = weights[first + i];
        set_sizes(&cell);
        if (cell.fullness > PAIR_LIMIT)
            for (int32_t i = 0; i < INPUTS_OF_CELL; i++) {
                half.weights[i] = cell.weights[i] / 2;
                cell.weights[i] -= half.weights[i];
            }
        add_cell(row, cell);
        add_cell(row, half);
    }
}

/* The fullest of the cells from `next` on that fits to one and has no partner; -1 for none. */
static int32_t partner_of(const struct row *row, const struct cell *cell, int32_t next,
                          const uint8_t *taken) {
    for (int32_t i = next; i < row->count; i++)
        if (!taken[i] && cell->sizes[0] + row->cells[i].sizes[0] <= PAIR_LIMIT &&
            cell->sizes[1] + row->cells[i].sizes[1] <= PAIR_LIMIT)
            return i;
    return -1;
}

static void write_cell(struct cell_pair *pair, int32_t which, const struct cell *cell) {
    pair->from[which] = cell->from;
    memcpy(pair->weights + which, cell->weights, sizeof cell->weights);
}

/* Returns where the next row goes. */
static int32_t *write_row(const struct row *row, int32_t *out) {
    uint8_t taken[MAX_CELLS] = {0};
    int32_t *count = out++;
    for (int32_t i = 0; i < row->count; i++) {
        if (taken[i]) continue;
        struct cell_pair pair = {{0}, {0}};
        write_cell(&pair, 0, row->cells + i);
        const int32_t other = partner_of(row, row->cells + i, i + 1, taken);
        if (other >= 0) {
            write_cell(&pair, 1, row->cells + other);
            taken[other] = 1;
        }
        memcpy(out, &pair, sizeof pair);
        out += sizeof pair / sizeof *out;
        *count += 1;
    }
    return out;
}

void avx2_pack(const struct layer *layer) {
    int32_t *out = layer->cells;
    struct row row;
    for (int32_t o = 0; o < layer->outputs; o++) {
        find_cells(&row, layer->weights + (int64_t)o * layer->columns, layer->inputs);
        out = write_row(&row, out);
    }
}
