/* What the control plane asks of the engine, carried out in the engine's thread. */
#ifndef ENGINE_COMMAND_H
#define ENGINE_COMMAND_H

#include "engine/engine.h"

/* Carries the command out at once. The answer to a connect comes later, as a record. */
void command_execute(struct engine *engine, const struct te_command *command,
                     struct te_completion *completion);

#endif
