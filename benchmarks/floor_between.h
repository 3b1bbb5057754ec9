/* What two processors do for each other at least, in functions of the extension.
 *
 *   line_ns(cpu, other_cpu) -> float           a line of memory there and back, at best
 *   copies_gb_per_s(cpu, other_cpu, bytes) -> float
 *                                              of messages so long, by two copies: into a ring on
 *                                              one processor, out of it on the other
 *   wake_ns(cpu, other_cpu, idle_s) -> float   from a byte sent to a thread that has slept so long
 *                                              until it has that byte
 *
 * Errors: OSError: it cannot be had there.
 */
#ifndef FLOOR_BETWEEN_H
#define FLOOR_BETWEEN_H

#include <Python.h>

PyObject *between_line_ns(PyObject *module, PyObject *args);
PyObject *between_copies_gb_per_s(PyObject *module, PyObject *args);
PyObject *between_wake_ns(PyObject *module, PyObject *args);

#endif
