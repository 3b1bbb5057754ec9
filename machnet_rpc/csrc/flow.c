/* Flow: a Connection's calls, in one step from arguments to the ring, or from there to the desk.
 *
 * The same as Connection.request, requested and reply in machnet_rpc/_protocol/connection.py; for
 * `exchange` and `wait` see exchange.c. Python takes the ids of the calls that it makes from here.
 */
#include <stddef.h>

#include "crossing.h"

enum { REQUEST_ARGUMENTS = 8 };

PyTypeObject *flow_type;

static PyObject *flow_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *crossing;
    PyObject *connection;
    PyObject *awaited;
    PyObject *deadlines;
    unsigned number;
    if ((kwargs != NULL && PyDict_Size(kwargs) != 0)
        || !PyArg_ParseTuple(args, "O!IOO!O!:Flow", crossing_type, &crossing, &number, &connection,
                             &PyDict_Type, &awaited, deadlines_type, &deadlines)) {
        return NULL;
    }
    struct flow *self = (struct flow *)PyType_GenericAlloc(type, 0);
    if (self != NULL) {
        self->crossing = (struct crossing *)Py_NewRef(crossing);
        self->connection = Py_NewRef(connection);
        self->awaited = Py_NewRef(awaited);
        self->deadlines = Py_NewRef(deadlines);
        self->number = number;
    }
    return (PyObject *)self;
}

static int flow_traverse(PyObject *object, visitproc visit, void *arg) {
    struct flow *self = (struct flow *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->crossing);
    Py_VISIT(self->connection);
    Py_VISIT(self->awaited);
    Py_VISIT(self->deadlines);
    Py_VISIT(self->incoming);
    Py_VISIT(self->ticket);
    Py_VISIT(self->desk);
    Py_VISIT((PyObject *)self->spare);
    return 0;
}

static int flow_clear(PyObject *object) {
    struct flow *self = (struct flow *)object;
    PyObject *crossing = (PyObject *)self->crossing;
    self->crossing = NULL;
    Py_XDECREF(crossing);
    Py_CLEAR(self->connection);
    Py_CLEAR(self->awaited);
    Py_CLEAR(self->deadlines);
    Py_CLEAR(self->incoming);
    Py_CLEAR(self->ticket);
    Py_CLEAR(self->desk);
    PyObject *spare = (PyObject *)self->spare;
    self->spare = NULL;
    Py_XDECREF(spare);
    return 0;
}

static void flow_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    flow_clear(object);
    object_free(object);
}

bool flow_expect(const struct flow *self, struct call *call) {
    PyObject *call_id = PyLong_FromUnsignedLongLong(call->call_id);
    bool is_noted = call_id != NULL
                    && PyDict_SetItem(self->awaited, call_id, (PyObject *)call) == 0;
    if (is_noted && !deadlines_start(self->deadlines, &call->timed)) {
        PyDict_DelItem(self->awaited, call_id);
        is_noted = false;
    }
    Py_XDECREF(call_id);
    return is_noted;
}

struct call *flow_begin(struct flow *self, PyObject *payload, struct te_record *record,
                        int64_t deadline_ns, PyObject *loop) {
    struct call *call = call_make(record->method_id, deadline_ns, loop);
    if (call == NULL) {
        return NULL;
    }
    call->call_id = ++self->last_call_id;
    call->priority = record->priority;
    slot_set(&call->connection, Py_NewRef(self->connection));
    record->call_id = call->call_id;
    if (!flow_expect(self, call)
        || !post_message(self->crossing, (PyObject *)call, payload, record)) {
        Py_DECREF((PyObject *)call);
        return NULL;
    }
    return call;
}

/* request(payload, method_id, deadline_ns, now_ns, lane, priority, flags, loop) -> OutgoingCall */
static PyObject *flow_request(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    struct te_record record = {.kind = TE_REQUEST, .flow = self->number};
    uint64_t deadline_ns;
    uint64_t now_ns;
    uint64_t lane;
    uint64_t flags;
    if (count != REQUEST_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "request takes eight arguments");
        return NULL;
    }
    if (!read_uint64(args[1], UINT64_MAX, &record.method_id)
        || !read_uint64(args[2], INT64_MAX, &deadline_ns)
        || !read_uint64(args[3], INT64_MAX, &now_ns) || !read_uint64(args[4], UINT8_MAX, &lane)
        || !read_priority(args[5], &record.priority)
        || !read_uint64(args[6], UINT8_MAX, &flags)) {
        return NULL;
    }
    record.remaining_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
    record.lane = (uint8_t)lane;
    record.flags = (uint8_t)flags;
    return (PyObject *)flow_begin(self, args[0], &record, (int64_t)deadline_ns, args[7]);
}

/* serve(incoming, ticket, message_bytes_max, desk): requests of this flow are the desk's, from the
 * ring on */
static PyObject *flow_let_serve(PyObject *object, PyObject *args) {
    struct flow *self = (struct flow *)object;
    PyObject *incoming;
    PyObject *ticket;
    PyObject *desk;
    unsigned long long message_bytes_max;
    if (!PyArg_ParseTuple(args, "O!OKO!:serve", &PyDict_Type, &incoming, &ticket,
                          &message_bytes_max, desk_type, &desk)) {
        return NULL;
    }
    slot_set(&self->incoming, Py_NewRef(incoming));
    slot_set(&self->ticket, Py_NewRef(ticket));
    slot_set(&self->desk, Py_NewRef(desk));
    self->message_bytes_max = message_bytes_max;
    crossing_forget_near(self->crossing);
    PyObject *number = PyLong_FromUnsignedLong(self->number);
    const int done = number == NULL
                         ? -1
                         : PyDict_SetItem(self->crossing->served, number, object);
    Py_XDECREF(number);
    return done == 0 ? Py_NewRef(Py_None) : NULL;
}

/* What Connection.requested does with a call that has no id of its own. */
static bool ignore_request(const struct flow *self, const struct te_record *record) {
    PyObject *header = header_of(record);
    PyObject *done = header == NULL ? NULL
                                    : PyObject_CallMethod(self->connection, "requested", "Oi",
                                                          header, 0);
    Py_XDECREF(header);
    Py_XDECREF(done);
    return done != NULL;
}

/* Whether a call of this id is being answered; -1: an exception. */
static int is_known(const struct flow *self, uint64_t number) {
    if (PyDict_Size(self->incoming) == 0) {
        return 0;
    }
    PyObject *call_id = PyLong_FromUnsignedLongLong(number);
    const int found = call_id == NULL ? -1 : PyDict_Contains(self->incoming, call_id);
    Py_XDECREF(call_id);
    return found;
}

bool flow_note(struct incoming *call) {
    const struct flow *self = call->flow;
    if (self == NULL || call->noted) {
        return true;
    }
    PyObject *call_id = PyLong_FromUnsignedLongLong(call->call_id);
    call->noted = call_id != NULL
                  && PyDict_SetItem(self->incoming, call_id, (PyObject *)call) == 0;
    Py_XDECREF(call_id);
    return call->noted
           && (call->timed.deadline_ns == INT64_MAX
               || deadlines_start(self->deadlines, &call->timed));
}

/* When a call must have ended that came with so much time. */
static int64_t deadline_of(uint64_t remaining_ns, int64_t now_ns) {
    const bool is_bounded = remaining_ns != 0 && remaining_ns < (uint64_t)(INT64_MAX - now_ns);
    return is_bounded ? now_ns + (int64_t)remaining_ns : INT64_MAX;
}

bool flow_serve(struct flow *self, const struct te_record *record, PyObject *payload) {
    const int known = is_known(self, record->call_id);
    if (known != 0) {
        return known > 0 && ignore_request(self, record);
    }
    struct crossing *crossing = self->crossing;
    if (crossing->looked_ns == 0) {
        crossing->looked_ns = clock_ns();
    }
    const int64_t deadline_ns = deadline_of(record->remaining_ns, crossing->looked_ns);
    struct incoming *call = incoming_make(record->call_id, record->method_id, deadline_ns,
                                          self->connection);
    if (call == NULL) {
        return false;
    }
    call->taken_ns = crossing->looked_ns;
    call->priority = record->priority;
    call->flow = (struct flow *)Py_NewRef((PyObject *)self);
    const bool is_well = desk_take(self->desk, call, payload);
    Py_DECREF((PyObject *)call);
    return is_well;
}

/* Undoes flow_note, of a call that is about to be answered. */
static void forget(const struct flow *self, struct incoming *call) {
    PyObject *call_id = PyLong_FromUnsignedLongLong(call->call_id);
    if (call_id == NULL || PyDict_DelItem(self->incoming, call_id) != 0) {
        PyErr_Clear();
    }
    Py_XDECREF(call_id);
    timed_stop(&call->timed);
}

bool flow_reply(struct flow *self, struct incoming *call, PyObject *payload) {
    struct te_record record = {
        .kind = TE_REPLY,
        .flow = self->number,
        .call_id = call->call_id,
        .method_id = call->method_id,
        .priority = call->priority,
    };
    call->answered = 1;
    if (call->noted) {
        forget(self, call);
    }
    return post_message(self->crossing, self->ticket, payload, &record);
}

/* next_call_id() -> that of a call that Python makes */
static PyObject *flow_next_call_id(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(++((struct flow *)object)->last_call_id);
}

static PyMethodDef flow_methods[] = {
    {"next_call_id", flow_next_call_id, METH_NOARGS, NULL},
    {"serve", flow_let_serve, METH_VARARGS, NULL},
    {"request", (PyCFunction)(void (*)(void))flow_request, METH_FASTCALL, NULL},
    {"exchange", (PyCFunction)(void (*)(void))flow_exchange, METH_FASTCALL, NULL},
    {"wait", (PyCFunction)(void (*)(void))flow_wait, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef flow_members[] = {
    {"message_bytes_max", T_ULONGLONG, offsetof(struct flow, message_bytes_max), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot flow_slots[] = {
    {Py_tp_new, (void *)flow_new},
    {Py_tp_dealloc, (void *)flow_dealloc},
    {Py_tp_traverse, (void *)flow_traverse},
    {Py_tp_clear, (void *)flow_clear},
    {Py_tp_members, flow_members},
    {Py_tp_methods, flow_methods},
    {0, NULL},
};

static PyType_Spec flow_spec = {
    .name = "machnet_rpc._crossing.Flow",
    .basicsize = sizeof(struct flow),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = flow_slots,
};

int flow_register(PyObject *module) {
    flow_type = (PyTypeObject *)PyType_FromSpec(&flow_spec);
    return flow_type == NULL ? -1 : PyModule_AddType(module, flow_type);
}
