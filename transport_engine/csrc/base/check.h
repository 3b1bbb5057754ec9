/* Assertions for our own bugs, on in every build; never reachable from wire or tenant memory.
 *
 * The hook is defined by whoever links the pure objects: the engine aborts with the sentence.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void te_check_failed(const char *claim, const char *file, int line);

#define te_check(claim) ((claim) ? (void)0 : te_check_failed(#claim, __FILE__, __LINE__))

#endif
