/* A line of arguments into words, as a shell would, with quotes and nothing else of a shell. */
#ifndef NETIF_ARGUMENTS_H
#define NETIF_ARGUMENTS_H

#include <stdbool.h>

enum arguments_limit { ARGUMENTS_MAX = 64, ARGUMENTS_BYTES_MAX = 4096 };

struct arguments {
    int count;
    char *words[ARGUMENTS_MAX + 1]; /* ends with NULL; points into bytes */
    char bytes[ARGUMENTS_BYTES_MAX];
    int bytes_used;
};

void arguments_init(struct arguments *arguments);

/* Adds one word as it is. Returns false if there is no room. */
bool arguments_add(struct arguments *arguments, const char *word);

/* Splits at spaces and tabs outside of '...' and "..."; quotes vanish.
 * Returns NULL, or what is wrong with the line. */
const char *arguments_split(struct arguments *arguments, const char *line);

/* True if a word is `option`, or begins with it and a '='. */
bool arguments_have(const struct arguments *arguments, const char *option);

#endif
