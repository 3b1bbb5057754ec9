/* A window that never changes: the baseline, for links where nothing else sends. */
#include "flow/congestion.h"

enum { FIXED_PACKETS = 64 };

static void init(struct congestion *congestion) {
    congestion->window = ((uint64_t)FIXED_PACKETS * congestion->packet_bytes)
                         << WINDOW_FRACTION_BITS;
    congestion->is_slow_start = false;
}

static void acked(struct congestion *congestion, struct congestion_ack *ack) {
    (void)congestion;
    (void)ack;
}

static void lost(struct congestion *congestion, const struct congestion_loss *loss) {
    (void)congestion;
    (void)loss;
}

static void timed_out(struct congestion *congestion, uint64_t now_ns) {
    (void)congestion;
    (void)now_ns;
}

const struct congestion_ops congestion_fixed = {"fixed", init, acked, lost, timed_out};
