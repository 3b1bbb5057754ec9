/* A packet over one link. */
#include "sim/link.h"

#include <stdlib.h>

#include "base/pool.h"

enum { PS_PER_NS = 1000, HEALED_QUEUE_BYTES = 4 << 20 };

static const uint64_t ps_per_second_in_bits = UINT64_C(8000000000000);

static uint64_t ps_of_rate(uint64_t rate_bps) {
    return rate_bps == 0 ? 0 : ps_per_second_in_bits / rate_bps;
}

void link_init(struct link *link, const struct te_sim_link *model, uint64_t seed) {
    *link = (struct link){.model = *model, .line_first = NO_ITEM, .line_last = NO_ITEM,
                          .measure_to_ns = UINT64_MAX};
    link->queue = calloc(1, sizeof *link->queue);
    link->police_ps_per_byte = ps_of_rate(model->police_bps);
    link->ps_per_byte = ps_of_rate(model->rate_bps);
    prng_init(&link->prng, seed);
}

void link_fini(struct link *link) {
    free(link->queue);
    link->queue = NULL;
}

/* What is queued already leaves at the old rate. */
void link_set_rate(struct link *link, uint64_t rate_bps) {
    link->model.rate_bps = rate_bps;
    link->ps_per_byte = ps_of_rate(rate_bps);
}

void link_heal(struct link *link) {
    struct te_sim_link *model = &link->model;
    model->loss_mask = 0;
    model->loss_count = 0;
    model->loss_ppm = model->burst_enter_ppm = model->duplicate_ppm = 0;
    model->reorder_ppm = model->corrupt_ppm = 0;
    model->jitter_ns = 0;
    if (model->queue_bytes < HEALED_QUEUE_BYTES) {
        model->queue_bytes = HEALED_QUEUE_BYTES;
    }
    link->police_ps_per_byte = 0;
    link->bad_packets = 0;
    link->down_count = 0;
}

static bool is_in_list(struct link *link, uint64_t index) {
    const struct te_sim_link *model = &link->model;
    while (link->loss_next < model->loss_count && model->loss_list[link->loss_next] < index) {
        link->loss_next++;
    }
    return link->loss_next < model->loss_count && model->loss_list[link->loss_next] == index;
}

static bool is_lost_in_burst(struct link *link) {
    const struct te_sim_link *model = &link->model;
    if (link->bad_packets == 0) {
        if (!prng_chance(&link->prng, model->burst_enter_ppm)) {
            return false;
        }
        link->bad_packets = 1;
    } else if (prng_chance(&link->prng, model->burst_exit_ppm) ||
               link->bad_packets == model->burst_packets_max) {
        link->bad_packets = 0;
        return false;
    } else {
        link->bad_packets++;
    }
    return prng_chance(&link->prng, model->burst_loss_ppm);
}

static bool is_lost(struct link *link, uint64_t index) {
    bool is_planned = (link->model.loss_mask >> (index % 64) & 1) || is_in_list(link, index);
    bool in_burst = (link->model.burst_enter_ppm != 0) && is_lost_in_burst(link);
    return prng_chance(&link->prng, link->model.loss_ppm) || in_burst || is_planned;
}

static uint64_t queued_bytes(const struct link *link, uint64_t now_ps) {
    return link->ps_per_byte == 0 || link->busy_ps <= now_ps
               ? 0
               : (link->busy_ps - now_ps) / link->ps_per_byte;
}

/* A queue that holds nothing takes a packet of any size. */
static bool is_full(const struct link *link, uint64_t queued, uint64_t wire_bytes) {
    return queued > 0 && queued + wire_bytes > link->model.queue_bytes;
}

static bool is_above_police_rate(struct link *link, uint64_t now_ps, uint64_t wire_bytes) {
    if (link->police_ps_per_byte == 0) {
        return false;
    }
    uint64_t burst_ps = link->model.police_burst_bytes * link->police_ps_per_byte;
    uint64_t due_ps = link->policed_ps > now_ps ? link->policed_ps : now_ps;
    uint64_t next_ps = due_ps + wire_bytes * link->police_ps_per_byte;
    if (next_ps - now_ps > burst_ps) {
        return true;
    }
    link->policed_ps = next_ps;
    return false;
}

static bool is_measured(const struct link *link, uint64_t now_ns) {
    return now_ns >= link->measure_from_ns && now_ns < link->measure_to_ns;
}

static void enter_queue(struct link *link, uint64_t now_ns, uint64_t queued, uint64_t wire_bytes) {
    uint64_t now_ps = now_ns * PS_PER_NS;
    uint64_t serial_ps = wire_bytes * link->ps_per_byte;
    link->busy_ps = (link->busy_ps > now_ps ? link->busy_ps : now_ps) + serial_ps;
    if (is_measured(link, now_ns)) {
        tally_add(link->queue, queued);
        link->result.busy_ns += serial_ps; /* in ps until it is reported */
    }
}

static uint64_t arrival_ns(struct link *link) {
    uint64_t departs_ns = (link->busy_ps + PS_PER_NS - 1) / PS_PER_NS;
    uint64_t jitter_ns = link->model.jitter_ns == 0 ? 0
                                                    : prng_next(&link->prng) %
                                                          (link->model.jitter_ns + 1);
    return departs_ns + link->model.delay_ns + jitter_ns;
}

/* Late packets leave the line; all others arrive in the order in which they were sent. */
static void arrive(struct link *link, struct passage *passage) {
    passage->arrives_ns = arrival_ns(link);
    if (prng_chance(&link->prng, link->model.reorder_ppm)) {
        passage->is_late = true;
        passage->arrives_ns += prng_next(&link->prng) % (link->model.reorder_ns + 1);
        link->result.delayed++;
    } else {
        if (passage->arrives_ns < link->last_arrival_ns) {
            passage->arrives_ns = link->last_arrival_ns;
        }
        link->last_arrival_ns = passage->arrives_ns;
    }
    passage->is_corrupt = prng_chance(&link->prng, link->model.corrupt_ppm);
    passage->has_copy = prng_chance(&link->prng, link->model.duplicate_ppm);
    if (passage->has_copy) {
        uint64_t range_ns = link->model.delay_ns / 2 + link->model.reorder_ns + 1;
        passage->copy_arrives_ns = passage->arrives_ns + prng_next(&link->prng) % range_ns;
    }
    link->result.corrupted += passage->is_corrupt;
    link->result.duplicated += passage->has_copy;
}

static uint64_t *counter_of(struct link *link, enum link_fate fate) {
    switch (fate) {
    case LINK_LOST:
        return &link->result.lost;
    case LINK_OVERFLOWED:
        return &link->result.overflowed;
    case LINK_POLICED:
        return &link->result.policed;
    default:
        return &link->result.blacked_out;
    }
}

enum link_fate link_pass(struct link *link, uint64_t now_ns, uint32_t size_bytes,
                         struct passage *passage) {
    *passage = (struct passage){0};
    uint64_t wire_bytes = size_bytes + link->model.overhead_bytes;
    uint64_t queued = queued_bytes(link, now_ns * PS_PER_NS);
    enum link_fate fate = LINK_PASSED;
    bool lost = is_lost(link, link->packet_count++);
    link->result.packets++;
    link->result.bytes += size_bytes;
    if (link->down_count > 0) {
        fate = LINK_BLACKED_OUT;
    } else if (is_above_police_rate(link, now_ns * PS_PER_NS, wire_bytes)) {
        fate = LINK_POLICED;
    } else if (is_full(link, queued, wire_bytes) && !link->model.waits) {
        fate = LINK_OVERFLOWED;
    } else {
        passage->is_marked = link->model.ecn_bytes != 0 && queued > link->model.ecn_bytes;
        link->result.marked += passage->is_marked;
        enter_queue(link, now_ns, queued, wire_bytes);
        fate = lost ? LINK_LOST : LINK_PASSED; /* what is lost on the wire took its time */
    }
    if (fate == LINK_PASSED) {
        arrive(link, passage);
    } else {
        (*counter_of(link, fate))++;
    }
    return fate;
}

uint64_t link_room_ns(const struct link *link, uint64_t now_ns, uint32_t size_bytes) {
    uint64_t wire_bytes = size_bytes + link->model.overhead_bytes;
    uint64_t queued = queued_bytes(link, now_ns * PS_PER_NS);
    if (!link->model.waits || !is_full(link, queued, wire_bytes)) {
        return now_ns;
    }
    uint64_t over = queued + wire_bytes - link->model.queue_bytes;
    uint64_t excess = over < queued ? over : queued;
    return now_ns + excess * link->ps_per_byte / PS_PER_NS + 1;
}

uint64_t link_serial_ns(const struct link *link, uint64_t size_bytes) {
    uint64_t wire_bytes = size_bytes + link->model.overhead_bytes;
    return (wire_bytes * link->ps_per_byte + PS_PER_NS - 1) / PS_PER_NS;
}
