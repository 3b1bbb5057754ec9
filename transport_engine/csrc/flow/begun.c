/* What waits of one peer, in blocks. */
#include "flow/begun.h"

static bool fits(const struct begun *begun, uint32_t blocks, uint32_t room) {
    return blocks <= room && begun->blocks + blocks <= room - blocks;
}

bool begun_admits(const struct begun *begun, uint32_t total_bytes, uint32_t room, bool is_oldest) {
    return begun == NULL || fits(begun, begun_blocks(total_bytes), room) ||
           (is_oldest && begun->beyond == NULL);
}

void begun_add(struct begun *begun, struct incoming *message, uint32_t room) {
    if (begun == NULL) {
        return;
    }
    uint32_t blocks = begun_blocks(message->body.total_bytes);
    if (!fits(begun, blocks, room)) {
        begun->beyond = message;
    }
    begun->blocks += blocks;
    message->begun = begun;
}

void begun_remove(struct incoming *message) {
    struct begun *begun = message->begun;
    begun->blocks -= begun_blocks(message->body.total_bytes);
    if (begun->beyond == message) {
        begun->beyond = NULL;
    }
    message->begun = NULL;
}
