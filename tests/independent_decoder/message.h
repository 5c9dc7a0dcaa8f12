/* Intervals (section 5) and the message (section 3). */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "util.h"

enum { MOST_PARTS = 8 };

/* What the intervals of one symbol depend on. */
typedef struct {
    int parts;
    int32_t mean[MOST_PARTS], inverse[MOST_PARTS], weight[MOST_PARTS];
    uint32_t levels;   /* n */
    bool wide;         /* section 10 */
    int bits, s, r;    /* of section 10; r is 0 otherwise */
    int32_t reference;
} Model;

typedef struct {
    uint64_t *states;
    size_t lanes;
    Bytes tail;
} Message;

/* (16 + (q & 15)) << (q >> 4) of section 4. */
int32_t power(int q);

/* `most` is the limit on the words of the tail. */
void message_open(Message *message, Bytes body, size_t lanes, uint64_t most);
uint32_t message_symbol(Message *message, size_t lane, const Model *model);
/* Refuses a message that has not come to its end. */
void message_close(Message *message);

#endif
