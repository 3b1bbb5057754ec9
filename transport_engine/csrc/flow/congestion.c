/* The table of congestion control algorithms. */
#include "flow/congestion.h"

#include <stddef.h>


static const struct congestion_ops *const algorithms[] = {&congestion_swift, &congestion_cubic,
                                                      &congestion_fixed};

static bool is_equal(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const struct congestion_ops *congestion_find(const char *name) {
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        if (is_equal(algorithms[i]->name, name)) {
            return algorithms[i];
        }
    }
    return NULL;
}
