/* Ranges of packet numbers received. */
#include "flow/sack.h"

#include <string.h>

void sack_init(struct sack *sack, uint64_t first_number) {
    sack->floor = first_number;
    sack->count = 0;
}

bool sack_has(const struct sack *sack, uint64_t number) {
    if (number < sack->floor) {
        return true;
    }
    for (uint32_t i = 0; i < sack->count && number <= sack->ranges[i].last; i++) {
        if (number >= sack->ranges[i].first) {
            return true;
        }
    }
    return false;
}

static void remove_range(struct sack *sack, uint32_t i) {
    sack->count--;
    memmove(&sack->ranges[i], &sack->ranges[i + 1],
            (sack->count - i) * sizeof sack->ranges[0]);
}

/* Drops the oldest range. The floor never falls: a number that arrives with the frame that raised
 * it is acknowledged from below it. */
static void forget_oldest(struct sack *sack) {
    uint64_t above = sack->ranges[--sack->count].last + 1;
    sack->floor = above > sack->floor ? above : sack->floor;
}

static void insert_range(struct sack *sack, uint32_t i, uint64_t number) {
    if (sack->count == ACK_RANGES_MAX) {
        forget_oldest(sack);
        if (number < sack->floor) {
            return;
        }
    }
    memmove(&sack->ranges[i + 1], &sack->ranges[i], (sack->count - i) * sizeof sack->ranges[0]);
    sack->ranges[i] = (struct ack_range){number, number};
    sack->count++;
}

static void shorten(struct sack *sack) {
    struct ack_range *newest = &sack->ranges[0];
    if (newest->last - newest->first >= SACK_SPAN_MAX) {
        newest->first = newest->last - SACK_SPAN_MAX / 2;
        sack->floor = newest->first;
        sack->count = 1;
    }
}

void sack_add(struct sack *sack, uint64_t number) {
    uint32_t i = 0;
    while (i < sack->count && number < sack->ranges[i].first) {
        if (number + 1 == sack->ranges[i].first) {
            sack->ranges[i].first = number;
            if (i + 1 < sack->count && sack->ranges[i + 1].last + 1 == number) {
                sack->ranges[i].first = sack->ranges[i + 1].first;
                remove_range(sack, i + 1);
            }
            return;
        }
        i++;
    }
    if (i < sack->count && sack->ranges[i].last + 1 == number) {
        sack->ranges[i].last = number;
        shorten(sack);
        return;
    }
    insert_range(sack, i, number);
}

void sack_forget(struct sack *sack, uint64_t number) {
    while (sack->count > 1 && sack->ranges[sack->count - 1].last <= number) {
        forget_oldest(sack);
    }
}

bool sack_fill(const struct sack *sack, struct ack_frame *ack, uint32_t ranges_max) {
    ack->count = sack->count < ranges_max ? sack->count : ranges_max;
    memcpy(ack->ranges, sack->ranges, ack->count * sizeof ack->ranges[0]);
    return ack->count > 0;
}
