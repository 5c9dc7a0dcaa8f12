/* Networks: packed, as a difference, and their checks (sections 1 and 7). */
#include "codec.h"
#include "message.h"

static size_t weight_count(const Network *network, int layer)
{
    return (size_t)network->widths[layer] * (size_t)network->widths[layer + 1];
}

static size_t bias_count(const Network *network, int layer)
{
    return (size_t)network->widths[layer + 1];
}

Network network_zero(const Network *like)
{
    Network network = *like;
    for (int i = 0; i < network.layers; i++) {
        network.weights[i] = take(weight_count(like, i), sizeof **network.weights);
        network.biases[i] = take(bias_count(like, i), sizeof **network.biases);
    }
    return network;
}

void network_give(Network *network)
{
    for (int i = 0; i < network->layers; i++) {
        give(network->weights[i]);
        give(network->biases[i]);
    }
}

/* The rules at the end of section 1. */
static void check(const Network *network)
{
    for (int i = 0; i < network->layers; i++) {
        int inputs = network->widths[i], counted = i == 0 ? inputs - 2 : inputs;
        for (int row = 0; row < network->widths[i + 1]; row++) {
            int64_t sum = 0;
            for (int j = 0; j < inputs; j++) {
                int weight = network->weights[i][row * inputs + j];
                if (weight < -127 || weight > 127)
                    damaged("a weight is out of its range");
                if (j < counted)
                    sum += weight < 0 ? -weight : weight;
            }
            if (sum * 255 > 1 << 23)
                damaged("the weights of a row are too large");
            int32_t bias = network->biases[i][row];
            if (bias <= -(1 << 22) || bias >= 1 << 22)
                damaged("a bias is out of its range");
        }
    }
}

void network_parse_plain(Network *network, Bytes packed)
{
    for (int i = 0; i < network->layers; i++) {
        for (size_t j = 0; j < weight_count(network, i); j++)
            network->weights[i][j] = (int8_t)read_u8(&packed);
        for (size_t j = 0; j < bias_count(network, i); j++)
            network->biases[i][j] = (int32_t)read_u32(&packed);
    }
    if (packed.left)
        damaged("there is more after the network");
    check(network);
}

typedef struct {
    bool coded;
    Model model;
} Record;

static Record read_record(Bytes *from)
{
    Record record = {0};
    int q1 = (int)read_u8(from);
    if (q1 == 255)
        return record;
    int q2 = (int)read_u8(from), w = (int)read_u8(from);
    if (q1 > 127 || q2 > 127)
        damaged("the scale of a difference is unknown");
    record.coded = true;
    record.model = (Model){.parts = 2, .levels = 256, .mean = {2048, 2048}};
    record.model.inverse[0] = 32 * power(q1);
    record.model.inverse[1] = 32 * power(q2);
    record.model.weight[0] = w;
    record.model.weight[1] = 256 - w;
    return record;
}

Network network_difference(const Network *base, Bytes difference, int bias_unit)
{
    Network own = network_zero(base);
    Record records[2 * MOST_LAYERS];
    for (int i = 0; i < 2 * own.layers; i++)
        records[i] = read_record(&difference);
    Message message;
    message_open(&message, difference, 1, UINT64_MAX);
    for (int i = 0; i < own.layers; i++) {
        for (size_t j = 0; j < weight_count(base, i); j++) {
            int value = 0;
            if (records[2 * i].coded)
                value = (int)message_symbol(&message, 0, &records[2 * i].model) - 128;
            own.weights[i][j] = (int16_t)(base->weights[i][j] + value);
        }
        for (size_t j = 0; j < bias_count(base, i); j++) {
            int value = 0;
            if (records[2 * i + 1].coded)
                value = (int)message_symbol(&message, 0, &records[2 * i + 1].model) - 128;
            own.biases[i][j] = base->biases[i][j] + bias_unit * value;
        }
    }
    message_close(&message);
    check(&own);
    return own;
}
