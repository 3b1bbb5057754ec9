/* What is said for an application that is gone: what it had sent, and what it had started. */
#ifndef ENGINE_LAST_WORD_H
#define ENGINE_LAST_WORD_H

#include "engine/engine.h"

/* To be called once the application's end of the channel is closed, before its flows end. They end
 * after what is said here. False: nothing is, and they are to end at once. */
bool last_word_say(struct engine *engine, uint32_t tenant);

#endif
