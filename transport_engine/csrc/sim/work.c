/* Workloads. */
#include "sim/work.h"

#include <stdlib.h>

#include "sim/messages.h"

enum { LOG_BITS = 24, SHARES = 1000000 };

static void finish(struct world *world, struct work *work) {
    if (!work->is_done) {
        work->is_done = true;
        world->works_open--;
    }
}

/* -log2 of value / 2^63 with LOG_BITS of fraction, by squaring. Shape: value in [1, 2^63]. */
static uint64_t negative_log2(uint64_t value) {
    uint32_t zeros = (uint32_t)__builtin_clzll(value);
    uint64_t mantissa = value << zeros >> 32; /* in [2^31, 2^32) */
    uint64_t log = 63 - zeros;
    for (int i = 0; i < LOG_BITS; i++) {
        mantissa = mantissa * mantissa >> 31;
        log <<= 1;
        if (mantissa >> 32) {
            mantissa >>= 1;
            log |= 1;
        }
    }
    return (UINT64_C(63) << LOG_BITS) - log;
}

/* -ln(u) of a random u in (0, 1), times `mean`. */
static uint64_t draw_exponential(struct prng *prng, uint64_t mean) {
    const uint64_t ln2_16 = 45426; /* ln 2 with 16 bits of fraction */
    uint64_t log2 = negative_log2((prng_next(prng) >> 1) + 1);
    uint64_t ln_16 = (log2 * ln2_16) >> LOG_BITS;
    return (mean * ln_16) >> 16;
}

static uint32_t draw_size(struct work *work) {
    const struct te_sim_workload *model = work->model;
    if (model->size_count == 0) {
        return model->request_bytes;
    }
    uint32_t share = prng_below(&work->prng, SHARES);
    struct te_sim_point before = {TE_SIM_MESSAGE_BYTES_MIN, 0};
    for (uint32_t i = 0; i < model->size_count; i++) {
        struct te_sim_point point = model->sizes[i];
        if (share < point.share_ppm) {
            uint64_t range = point.size_bytes - before.size_bytes;
            uint64_t part = share - before.share_ppm;
            return before.size_bytes +
                   (uint32_t)(range * (part + 1) / (point.share_ppm - before.share_ppm));
        }
        before = point;
    }
    return before.size_bytes;
}

static uint32_t class_of(const struct work *work, uint32_t size_bytes) {
    uint32_t i = 0;
    while (i < work->model->class_count && size_bytes > work->model->class_bytes[i]) {
        i++;
    }
    return work->first_class + i;
}

static void post(struct world *world, struct work *work, uint32_t flow) {
    struct record record = {
        .posted_ns = world->now_ns,
        .size_bytes = draw_size(work),
        .reply_bytes = work->model->reply_bytes,
        .answers = NO_ITEM,
        .lane = work->model->lane,
        .priority = work->model->priority,
    };
    record.size_class = class_of(work, record.size_bytes);
    messages_post(world, flow, FORWARD, &record);
}

static bool is_stopped(const struct world *world, const struct work *work) {
    return world->phase != PHASE_WORK || world->now_ns >= work->model->stop_ns || work->is_done;
}

/* ---- closed loops ---- */

static void post_next(struct world *world, struct work *work, uint32_t index) {
    struct sim_flow *flow = &world->flows[index];
    if (is_stopped(world, work)) {
        return;
    }
    if (work->model->count == 0 || flow->posted < work->model->count) {
        flow->posted++;
        post(world, work, index);
        if (flow->posted == work->model->count && ++work->flows_done == work->flow_count) {
            finish(world, work);
        }
    }
}

static void fill_window(struct world *world, struct work *work, uint32_t index) {
    struct sim_flow *flow = &world->flows[index];
    if (flow->has_begun || world->now_ns < flow->model->start_ns) {
        return;
    }
    flow->has_begun = true;
    for (uint32_t i = 0; i < work->model->window; i++) {
        post_next(world, work, index);
    }
}

/* ---- incast ---- */

static void post_round(struct world *world, struct work *work) {
    work->posted++;
    work->round_open = work->flow_count;
    for (uint32_t i = 0; i < work->flow_count; i++) {
        post(world, work, work->flows[i]);
    }
    if (work->posted == work->model->count) {
        finish(world, work);
    }
}

/* ---- lists and random arrivals ---- */

static void post_listed(struct world *world, struct work *work, uint32_t index) {
    const struct te_sim_workload *model = work->model;
    while (work->posted < model->message_count) {
        const struct te_sim_message *message = &model->messages[work->posted];
        if (message->at_ns > world->now_ns) {
            world_event(world, message->at_ns, EVENT_WORK, index);
            return;
        }
        struct record record = {
            .posted_ns = world->now_ns,
            .size_bytes = message->size_bytes,
            .reply_bytes = message->from_server ? 0 : model->reply_bytes,
            .answers = NO_ITEM,
            .lane = message->lane,
            .priority = message->priority,
            .size_class = class_of(work, message->size_bytes),
            .state = message->from_server ? RECORD_FROM_SERVER : 0,
        };
        work->posted++;
        messages_post(world, message->flow, message->from_server ? BACK : FORWARD, &record);
    }
    finish(world, work);
}

static void post_random(struct world *world, struct work *work, uint32_t index) {
    post(world, work, work->flows[prng_below(&work->prng, work->flow_count)]);
    if (++work->posted == work->model->count) {
        finish(world, work);
        return;
    }
    uint64_t gap_ns = draw_exponential(&work->prng, work->model->gap_ns);
    world_event(world, world->now_ns + gap_ns, EVENT_WORK, index);
}

void work_event(struct world *world, uint32_t index) {
    struct work *work = &world->works[index];
    if (is_stopped(world, work)) {
        finish(world, work);
        return;
    }
    switch (work->model->kind) {
    case TE_SIM_LIST:
        post_listed(world, work, index);
        break;
    case TE_SIM_CLOSED:
        for (uint32_t i = 0; i < work->flow_count; i++) {
            fill_window(world, work, work->flows[i]);
        }
        break;
    case TE_SIM_POISSON:
        post_random(world, work, index);
        break;
    default:
        post_round(world, work);
        break;
    }
}

void work_flow_begins(struct world *world, uint32_t flow) {
    struct work *work = &world->works[world->flows[flow].model->workload];
    if (work->model->kind == TE_SIM_CLOSED && world->now_ns >= work->model->start_ns) {
        fill_window(world, work, flow);
    }
}

void work_ended(struct world *world, uint32_t flow, const struct record *record, bool is_good) {
    uint32_t index = world->flows[flow].model->workload;
    struct work *work = &world->works[index];
    if (!is_good) {
        world->classes[record->size_class].failed++;
    }
    if (work->model->kind == TE_SIM_CLOSED) {
        post_next(world, work, flow);
    } else if (work->model->kind == TE_SIM_INCAST && --work->round_open == 0 &&
               !is_stopped(world, work)) {
        world_event(world, world->now_ns + work->model->gap_ns, EVENT_WORK, index);
    }
}

/* ---- life ---- */

bool work_init(struct world *world, uint32_t index) {
    struct work *work = &world->works[index];
    const struct te_sim_workload *model = &world->config->workloads[index];
    work->model = model;
    prng_init(&work->prng, prng_next(&world->prng));
    work->flows = calloc(world->config->flow_count, sizeof *work->flows);
    if (work->flows == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < world->config->flow_count; i++) {
        if (world->config->flows[i].workload == index) {
            work->flows[work->flow_count++] = i;
        }
    }
    world_event(world, model->start_ns, EVENT_WORK, index);
    if (model->stop_ns != UINT64_MAX) {
        world_event(world, model->stop_ns, EVENT_WORK, index);
    }
    world->works_open++;
    return true;
}

void work_fini(struct work *work) {
    free(work->flows);
    work->flows = NULL;
}
