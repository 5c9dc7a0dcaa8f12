#include "message.h"

int32_t power(int q)
{
    return (int32_t)(16 + (q & 15)) << (q >> 4);
}

/* S(q) of section 5. */
static int64_t spread(int64_t q)
{
    int64_t u = q < 0 ? -q : q;
    if (u > 2047)
        u = 2047;
    int64_t p = 65535 - (((26214 + 20 * u) * u) >> 10);
    if (p < 0)
        p = 0;
    for (int i = 0; i < 3; i++)
        p = (p * p) >> 16;
    int64_t tail = p >> 1;
    return q < 0 ? tail : 65536 - tail;
}

static int64_t cumulate(const Model *model, int64_t place)
{
    int64_t sum = 0;
    for (int k = 0; k < model->parts; k++)
        sum += model->weight[k] * spread(((place - model->mean[k]) * model->inverse[k]) >> 10);
    return sum;
}

/* C(i) of section 5, or of section 10 for bins. */
static uint32_t start_of(const Model *model, int64_t i, int64_t count)
{
    if (i == 0)
        return 0;
    if (i == count)
        return 1u << 24;
    if (!model->wide) {
        int64_t f = cumulate(model, 16 * i - 8);
        return (uint32_t)(f - (f >> 10) + 64 * i);
    }
    int64_t first = i * ((int64_t)1 << model->r);
    int64_t place = clip((16 * (first - model->reference) - 8) >> model->s, -6144, 6143);
    int64_t f = cumulate(model, place);
    int down = 24 - model->bits + model->r, up = 14 - model->bits + model->r;
    return (uint32_t)(f - (f >> (down < 10 ? down : 10)) + (i << (up > 0 ? up : 0)));
}

void message_open(Message *message, Bytes body, size_t lanes, uint64_t most)
{
    if (body.left % 4 != 0)
        damaged("a message is not of whole words");
    Bytes upper = read_bytes(&body, 4 * lanes), lower = read_bytes(&body, 4 * lanes);
    if (body.left / 4 > most)
        damaged("a message is too long");
    message->lanes = lanes;
    message->tail = body;
    message->states = take(lanes, sizeof *message->states);
    for (size_t i = 0; i < lanes; i++) {
        uint64_t state = (uint64_t)read_u32(&upper) << 32;
        state |= read_u32(&lower);
        if (state < (uint64_t)1 << 31 || state >> 63)
            damaged("a state is out of its range");
        message->states[i] = state;
    }
}

/* Section 3, and section 10 for r > 0. */
uint32_t message_symbol(Message *message, size_t lane, const Model *model)
{
    uint64_t state = message->states[lane];
    uint32_t low = (uint32_t)(state & (((uint64_t)1 << model->r) - 1));
    state >>= model->r;
    uint32_t position = (uint32_t)(state & ((1u << 24) - 1));
    int64_t count = ((int64_t)(model->levels - 1) >> model->r) + 1;
    int64_t bin = 0, end = count;
    uint32_t start = 0, stop = 1u << 24;
    while (end - bin > 1) {
        int64_t middle = (bin + end) / 2;
        uint32_t at = start_of(model, middle, count);
        if (at <= position) {
            bin = middle;
            start = at;
        } else {
            end = middle;
            stop = at;
        }
    }
    state = (stop - start) * (state >> 24) + position - start;
    if (state < (uint64_t)1 << 31)
        state = state << 32 | read_u32(&message->tail);
    message->states[lane] = state;
    uint32_t symbol = (uint32_t)((uint64_t)bin << model->r) + low;
    return symbol < model->levels ? symbol : model->levels - 1;
}

void message_close(Message *message)
{
    for (size_t i = 0; i < message->lanes; i++)
        if (message->states[i] != (uint64_t)1 << 31)
            damaged("a message has another end");
    if (message->tail.left)
        damaged("a message has words left over");
    give(message->states);
    message->states = NULL;
}
