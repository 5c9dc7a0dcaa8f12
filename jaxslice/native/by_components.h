/* A function for each number of components, whose loops over them are unrolled. Included after
 * `decode_panel` and `encode_panel`, which take the number as a constant. */
#define FOR_EACH_COUNT(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#define FUNCTIONS(K)                                                                       \
    static void decode_##K(struct march *m, int32_t panel) { decode_panel(m, panel, K); } \
    static void encode_##K(struct march *m, int32_t panel) { encode_panel(m, panel, K); }
FOR_EACH_COUNT(FUNCTIONS)

typedef void (*panel_function)(struct march *m, int32_t panel);
#define DECODER(K) decode_##K,
#define ENCODER(K) encode_##K,
static const panel_function decoders[] = {FOR_EACH_COUNT(DECODER)};
static const panel_function encoders[] = {FOR_EACH_COUNT(ENCODER)};
