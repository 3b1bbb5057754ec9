/* What crosses between Python's objects and a channel's rings, once per burst and message.
 *
 * Shape: timed.c keeps deadlines, call.c is the call that a caller awaits; crossing.c is the near
 * end of a channel, whose messages post.c sends and receive.c takes, the large ones by stream.c and
 * some into what received.c lends; spin.c waits for them. flow.c makes calls and takes those of the
 * peer (incoming.c), for which desk.c starts handlers (task.c), which tally.c counts. exchange.c
 * makes a call and looks for its answer, which line.c has threads without an event loop do;
 * requester.c begins the calls of tasks. The Python classes of the same names define what each
 * means (machnet_rpc/_protocol and _aio); these are the same, and faster. Knows the public
 * interface of the engine, by the addresses that Python took from it. Thread: all with the GIL
 * held, except for the look at rings while it spins.
 */
#ifndef CROSSING_H
#define CROSSING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>

#include "transport_engine.h"
#include "transport_fates.h"

/* Public in every Python from 3.9 on, but not all in its stable ABI: the first two are from 3.12
 * on. A Python without them cannot load this module, and does without it. */
#if Py_LIMITED_API < 0x030c0000
PyAPI_FUNC(PyObject *)
    PyObject_Vectorcall(PyObject *callable, PyObject *const *args, size_t count, PyObject *names);
PyAPI_FUNC(PyObject *) PyVectorcall_Call(PyObject *callable, PyObject *args, PyObject *names);
#endif
PyAPI_FUNC(PyObject *) PyContext_Copy(PyObject *context);
PyAPI_FUNC(int) PyContext_Enter(PyObject *context);
PyAPI_FUNC(int) PyContext_Exit(PyObject *context);
PyAPI_FUNC(PyObject *) PyContextVar_Set(PyObject *variable, PyObject *value);
PyAPI_FUNC(int) PyContextVar_Get(PyObject *variable, PyObject *otherwise, PyObject **value);

/* The functions of the engine that are called from here, in the order of `bind`'s arguments. */
struct engine_functions {
    int (*put)(struct te_channel *, const struct te_record *, const uint8_t *);
    int (*peek)(struct te_channel *, struct te_record *, const uint8_t **);
    void (*pop)(struct te_channel *);
    int (*ring)(struct te_channel *);
    int (*arm)(struct te_channel *, int);
    void (*note)(struct te_channel *, uint32_t, uint64_t, int);
    int (*poll)(struct te_engine *);
};

/* A message of which the last record has not come. */
struct whole {
    PyObject *object; /* its payload, bytes or Received; NULL: there is no such message */
    uint8_t *bytes;   /* of the object */
    uint32_t total_bytes;
    uint32_t filled_bytes;
};

/* One channel's messages; see crossing.c. */
struct crossing {
    PyObject ob_base; /* PyObject_HEAD */
    struct te_channel *channel; /* NULL: closed */
    struct te_engine *engine;   /* that this process polls; NULL: it runs elsewhere */
    PyObject *queue;            /* takes what the ring has no room for */
    PyObject *rouse;            /* told of what was sent while nobody watches the channel */
    PyObject *flows;            /* flow -> the calls that wait on it, by their ids */
    PyObject *served;           /* flow -> its `struct flow`, where a desk takes its requests */
    struct flow *near;          /* the one of `served` that was asked for last; or NULL */
    int64_t looked_ns;          /* when a burst was found that is not taken yet; 0: not known */
    PyObject *lent;             /* methods whose large messages become Received; or NULL */
    struct whole whole;
    int64_t moved_ns;           /* when something was received last */
    int64_t streamed_ns;        /* that messages were waited for while they left, in this turn */
    PyObject *left;             /* taken by a burst that ended in an exception; or NULL */
    char is_blocked;            /* something is queued in Python, and goes first */
    char is_watched;            /* the pump takes turns */
    int64_t exchanged_ns;       /* when `exchange` was last called */
};

struct link {
    struct link *next;
    struct link *previous;
};

/* Anything with a deadline: the base of calls, in and out. */
struct timed {
    PyObject ob_base; /* PyObject_HEAD */
    struct link link;
    struct deadlines *in; /* where its timer runs; NULL: nowhere */
    int64_t deadline_ns;
};

enum call_state { CALL_WAITS, CALL_ENDED, CALL_CANCELLED };

/* What the peer, or who is left of it, has said of a call: as in machnet_rpc/_protocol/calls.py. */
enum call_heard { HEARD_NOTHING, HEARD_TAKEN, HEARD_STARTED, HEARD_NEVER };

/* A call that was made here, and its one awaiter. */
struct call {
    struct timed timed;
    uint64_t call_id;
    uint64_t method_id;
    PyObject *connection;
    PyObject *loop;
    PyObject *wakeup;  /* whom to tell of the end; NULL: nobody awaits it yet */
    PyObject *context; /* in which to tell it */
    PyObject *result;  /* of a call that ended; the message of one that was cancelled */
    enum call_state state;
    uint8_t priority; /* of its request, and of all that is sent for it later */
    char gone;
    char started;
    char sent;
    char heard; /* enum call_heard */
    char blocking;
};

/* A call that the peer made; see incoming.c. */
struct incoming {
    struct timed timed;
    uint64_t call_id;
    uint64_t method_id;
    PyObject *connection;
    PyObject *binding;
    PyObject *task;
    PyObject *tally;   /* that counts its end; or NULL */
    PyObject *metadata; /* or NULL */
    struct flow *flow; /* by which a result in bytes is sent without Python; or NULL */
    int64_t taken_ns;  /* when it was taken from the ring */
    uint8_t priority;  /* of its request, and so of its answer */
    char answered;
    char noted; /* where its deadline and its cancellation find it */
};

/* The calls of one flow; see flow.c. */
struct flow {
    PyObject ob_base; /* PyObject_HEAD */
    struct crossing *crossing;
    PyObject *connection;
    PyObject *awaited;
    PyObject *deadlines;
    PyObject *incoming; /* calls that are to be answered, by their ids; NULL: not served here */
    PyObject *ticket;   /* of replies */
    PyObject *desk;     /* takes requests */
    struct call *spare; /* for the next exchange, if its answer does not come at once; or NULL */
    uint64_t message_bytes_max;
    uint64_t last_call_id;
    uint32_t number;
};

/* What a handler's task keeps; see task.c. */
struct task {
    PyObject ob_base; /* PyObject_HEAD */
    PyObject *coroutine;
    PyObject *loop;
    PyObject *context;
    PyObject *on_end;
    PyObject *call;
    PyObject *callbacks;
    PyObject *returned;
    PyObject *error;
    PyObject *waiter; /* what it waits for; or NULL */
    PyObject *kept;   /* a dict of which it is a key until it ends; or NULL */
    PyObject *desk;   /* answers what it returns; NULL: Python does */
    PyObject *encode; /* its result, for the desk; None: bytes are their own payload */
    char is_done;
    char must_cancel;
};

extern PyTypeObject *timed_type;
extern PyTypeObject *deadlines_type;
extern PyTypeObject *call_type;
extern PyTypeObject *incoming_type;
extern PyTypeObject *flow_type;
extern PyTypeObject *task_type;
extern PyTypeObject *desk_type;
extern PyTypeObject *tally_type;
extern PyTypeObject *crossing_type;
extern struct engine_functions engine;
extern PyObject *corrupt_error;

int timed_register(PyObject *module);
int call_register(PyObject *module);
int flow_register(PyObject *module);
int incoming_register(PyObject *module);
int received_register(PyObject *module);
int task_register(PyObject *module);
int desk_register(PyObject *module);
int tally_register(PyObject *module);

/* An object of another module; NULL: an exception. */
PyObject *imported(const char *module_name, const char *name);
/* object.name(first, second); the arguments may be NULL from the first that is not there on. False:
 * an exception. */
bool told(PyObject *object, PyObject *name, PyObject *first, PyObject *second);
/* The exception that is set, which is not set any more. */
PyObject *caught(void);
/* Takes a step of a task's coroutine, in its context, and sees to what comes of it. False: an
 * exception. */
bool task_advance(struct task *task);
/* The task is done, and nobody finds it any more. */
void task_leave(struct task *task);
/* step(loop, task, coroutine) -> (True, what it returned) or (False, what it waits for) */
PyObject *coroutine_step(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* The payload of a message to be filled, of which views are lent. NULL: an exception. */
PyObject *received_make(size_t size_bytes, uint8_t **bytes);
PyObject *received_pool(PyObject *module, PyObject *unused);

/* Puts the message's records into the ring, from a payload offset on, while there is room; the
 * second waits for room, for as long as that pays. Returns the offset reached, total + 1 when the
 * ring has all of it, or a negative error. */
int64_t put_pieces(const struct crossing *self, struct te_record *record, const uint8_t *payload,
                   int64_t from);
int64_t put_message(struct crossing *self, struct te_record *record, const uint8_t *payload,
                    int64_t from);
/* Takes what continues `whole`, but its last record. */
void take_pieces(struct crossing *self);

/* Sends one message, or hands what the ring has no room for to the queue. False: an exception. */
bool post_message(struct crossing *crossing, PyObject *ticket, PyObject *payload,
                  struct te_record *record);
/* False, and an exception, where it is no number, or larger than `max`. */
bool read_uint64(PyObject *number, uint64_t max, uint64_t *value);
/* The same of a priority; None is the usual one. */
bool read_priority(PyObject *number, uint8_t *priority);
/* post(ticket, payload, kind, flow, call_id, method_id, remaining_ns, flags, lane, status,
 * priority) */
PyObject *crossing_post(PyObject *crossing, PyObject *const *args, Py_ssize_t count);
/* put(ticket, payload, ..., offset): as post, from an offset on, what was queued -> the offset
 * reached; what is beyond the payload's end: all of it */
PyObject *crossing_put(PyObject *crossing, PyObject *const *args, Py_ssize_t count);
/* receive(spin_ns, ready=None, waits_fd=-1) -> None where nothing moved; else the list of what is
 * not done with yet. Given the callbacks that wait for this thread, it goes on until there are
 * some, or the time is over; given a descriptor that is readable when others wait, too, some 75 us
 * longer while there is traffic. */
PyObject *crossing_receive(PyObject *crossing, PyObject *const *args, Py_ssize_t count);
/* Takes what comes until the call ends, or something else comes, which is `left`, or it is late.
 * False: an exception. */
bool crossing_await(struct crossing *crossing, const struct call *call, int64_t late_ns);
/* CLOCK_MONOTONIC, as time.monotonic_ns */
int64_t clock_ns(void);
enum {
    HELD_NS = 4000 /* of a look, with the GIL: to give it back and forth costs as much as that */
};
/* Looks at rings for so long, after HELD_NS without the GIL; whether there is something to
 * receive. */
bool crossings_spin(struct crossing *const *crossings, Py_ssize_t count, int64_t spin_ns);
/* The same of one ring for HELD_NS at most: the GIL is not given away, and nobody comes between. */
bool crossing_glance(struct crossing *crossing, int64_t spin_ns);
/* Has whoever spins next give its core away at once: somebody may wait for it. */
void spin_impatiently(void);
/* Says that something was sent, or taken. Whether the other side slept, and was woken: it may wait
 * for this very core. */
static inline bool crossing_ring(const struct crossing *crossing) {
    const bool woke = engine.ring(crossing->channel) != 0;
    if (woke) {
        spin_impatiently();
    }
    return woke;
}
/* Gives the core away once; returns what time it is then. */
int64_t spin_yield(int64_t now_ns);
/* Whether others are busy on the core, so that it is better to sleep at once. */
bool spin_is_contended(int64_t now_ns);
/* is_contended() -> the same */
PyObject *crossing_is_contended(PyObject *module, PyObject *unused);
/* spin(crossings, nanoseconds) -> whether one of them has something to receive */
PyObject *crossing_spin(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* The end of a dealloc: gives back the object's memory, and its reference to its type. */
static inline void object_free(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* One list of two, either of which may be NULL; takes over both. */
static inline PyObject *list_joined(PyObject *first, PyObject *second) {
    if (first == NULL || second == NULL) {
        return first == NULL ? second : first;
    }
    PyObject *all = PySequence_InPlaceConcat(first, second);
    if (all == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(all); /* `first` itself */
    Py_DECREF(second);
    return first;
}

/* The slot holds the new reference from here on; what it held is released after that. */
static inline void slot_set(PyObject **slot, PyObject *object) {
    PyObject *before = *slot;
    *slot = object;
    Py_XDECREF(before);
}

/* Starts a timer in a `deadlines_type`. False: an exception, since it runs already. */
bool deadlines_start(PyObject *deadlines, struct timed *timed);
/* Stops a timer that runs. */
void timed_stop(struct timed *timed);

/* Makes a call and sends its request; the record has its method, lane and priority. NULL: an
 * exception. */
struct call *flow_begin(struct flow *flow, PyObject *payload, struct te_record *record,
                        int64_t deadline_ns, PyObject *loop);
/* Notes the call where its answer and its deadline will find it. False: an exception. */
bool flow_expect(const struct flow *flow, struct call *call);
/* exchange(payload, (method_id, timeout_ns, lane, priority, loop, spin_ns)); see exchange.c */
PyObject *flow_exchange(PyObject *flow, PyObject *const *args, Py_ssize_t count);
/* wait(call, spin_ns) -> the result; or the call, if that did not come meanwhile */
PyObject *flow_wait(PyObject *flow, PyObject *const *args, Py_ssize_t count);

/* How a call is made whose answer is looked for where it was made. */
struct how {
    uint64_t method_id;
    uint64_t timeout_ns;
    uint64_t lane;
    uint64_t priority;
    PyObject *loop; /* borrowed from the tuple that it was read from */
    uint64_t spin_ns;
};

/* False: an exception. */
bool how_read(PyObject *fields, struct how *how);
/* Makes what an exchange may need later, when nothing may run that a collection runs; before
 * whoever calls looks whether it may. False: an exception. */
bool exchange_prepare(struct flow *flow, const struct how *how);
/* As `exchange`, of bytes. */
PyObject *exchange_bytes(struct flow *flow, PyObject *payload, const struct how *how);
int line_register(PyObject *module);
int requester_register(PyObject *module);

/* NULL: an exception. */
struct incoming *incoming_make(uint64_t call_id, uint64_t method_id, int64_t deadline_ns,
                               PyObject *connection);
/* Takes a request, whose header Python would read from `header_of`. False: an exception. */
bool flow_serve(struct flow *flow, const struct te_record *record, PyObject *payload);
/* Notes the call where its deadline, and its cancellation, will find it, unless it is, or is not of
 * a flow of C's. To be done before Python hears of it. False: an exception. */
bool flow_note(struct incoming *call);
/* Who takes the requests of a flow; borrowed. NULL: nobody, or an exception. */
struct flow *served_flow(struct crossing *crossing, uint32_t number);
/* To be called before what it finds changes. */
void crossing_forget_near(struct crossing *crossing);
/* Answers a call of this flow that is not answered. False: an exception. */
bool flow_reply(struct flow *flow, struct incoming *call, PyObject *payload);
/* Notes what is true of a request (enum te_start), for when this process is killed. The flow may be
 * NULL, or closed. */
static inline void flow_mark(const struct flow *flow, uint64_t call_id, enum te_start state) {
    if (flow != NULL && flow->crossing != NULL && flow->crossing->channel != NULL) {
        engine.note(flow->crossing->channel, flow->number, call_id, (int)state);
    }
}
/* Starts the handler of a call, or refuses it. False: an exception. */
bool desk_take(PyObject *desk, struct incoming *call, PyObject *payload);
/* Answers for a task with a desk, whose coroutine returned `value`. False: an exception. */
bool desk_end(struct task *task, PyObject *value);
/* Counts a call that came, by a `tally_type`. */
void tally_begin(struct incoming *call, PyObject *tally);
/* Counts the end of a call; does nothing if it has been, or was never counted. */
void tally_end(struct incoming *call, uint64_t code);
/* The header of a record, as Python has it. NULL: an exception. */
PyObject *header_of(const struct te_record *record);

/* NULL: an exception. */
struct call *call_make(uint64_t method_id, int64_t deadline_ns, PyObject *loop);
/* Ends a call that waits, without telling its awaiter. */
void call_end(struct call *call, PyObject *result);
/* Tells the awaiter at once, as the event loop would. False: it raised what ends the process. */
bool call_wake(struct call *call);
/* Tells the awaiter in the next iteration of the event loop. */
bool call_wake_soon(struct call *call);

#endif
