/* Splitting of argument lines. */
#include "netif/arguments.h"

#include <string.h>

static const char *const no_room = "more than 64 words or 4096 bytes of arguments";

void arguments_init(struct arguments *arguments) {
    arguments->count = 0;
    arguments->bytes_used = 0;
    arguments->words[0] = NULL;
}

static bool begin(struct arguments *arguments) {
    if (arguments->count == ARGUMENTS_MAX) {
        return false;
    }
    arguments->words[arguments->count++] = arguments->bytes + arguments->bytes_used;
    arguments->words[arguments->count] = NULL;
    return true;
}

static bool append(struct arguments *arguments, char letter) {
    if (arguments->bytes_used == ARGUMENTS_BYTES_MAX) {
        return false;
    }
    arguments->bytes[arguments->bytes_used++] = letter;
    return true;
}

bool arguments_add(struct arguments *arguments, const char *word) {
    bool fits = begin(arguments);
    for (; fits && *word != 0; word++) {
        fits = append(arguments, *word);
    }
    return fits && append(arguments, 0);
}

static bool is_space(char letter) {
    return letter == ' ' || letter == '\t' || letter == '\n';
}

const char *arguments_split(struct arguments *arguments, const char *line) {
    char quote = 0;
    bool in_word = false;
    bool fits = true;
    for (; *line != 0 && fits; line++) {
        if (quote == 0 && is_space(*line)) {
            fits = !in_word || append(arguments, 0);
            in_word = false;
            continue;
        }
        if (!in_word) {
            fits = begin(arguments);
            in_word = true;
        }
        if (quote != 0 ? *line == quote : *line == '"' || *line == '\'') {
            quote = quote != 0 ? 0 : *line;
        } else {
            fits = fits && append(arguments, *line);
        }
    }
    if (!fits || (in_word && !append(arguments, 0))) {
        return no_room;
    }
    return quote != 0 ? "a quote that nothing closes" : NULL;
}

bool arguments_have(const struct arguments *arguments, const char *option) {
    size_t option_bytes = strlen(option);
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        if (strncmp(word, option, option_bytes) == 0 &&
            (word[option_bytes] == 0 || word[option_bytes] == '=')) {
            return true;
        }
    }
    return false;
}
