/* Flow: a Connection's calls, in one step from arguments to the ring, or from there to the desk.
 *
 * The same as Connection.request, requested and reply in machnet_rpc/_protocol/connection.py, and
 * as Port.exchange, which waits for the answer as well. Calls made here have ids of their own,
 * beyond those that Python gives.
 */
#include <stddef.h>

#include "crossing.h"

enum { REQUEST_ARGUMENTS = 6, EXCHANGE_ARGUMENTS = 2, HOW_FIELDS = 5 };
static const int64_t IDLE_NS = 10000000; /* after which whoever sends looks at descriptors first */

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
        self->last_call_id = UINT64_C(1) << 32;
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
    return 0;
}

static void flow_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    flow_clear(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* Notes the call where its answer and its deadline will find it. */
static bool note_call(const struct flow *self, struct call *call) {
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

/* Makes a call and sends its request; the record has its method and lane. */
static struct call *begin(struct flow *self, PyObject *payload, struct te_record *record,
                          int64_t deadline_ns, PyObject *loop) {
    struct call *call = call_make(record->method_id, deadline_ns, loop);
    if (call == NULL) {
        return NULL;
    }
    call->call_id = ++self->last_call_id;
    slot_set(&call->connection, Py_NewRef(self->connection));
    record->call_id = call->call_id;
    if (!note_call(self, call)
        || !post_message(self->crossing, (PyObject *)call, payload, record)) {
        Py_DECREF((PyObject *)call);
        return NULL;
    }
    return call;
}

/* request(payload, method_id, deadline_ns, now_ns, lane, loop) -> OutgoingCall */
static PyObject *flow_request(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    struct te_record record = {.kind = TE_REQUEST, .flow = self->number};
    uint64_t deadline_ns;
    uint64_t now_ns;
    uint64_t lane;
    if (count != REQUEST_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "request takes six arguments");
        return NULL;
    }
    if (!read_uint64(args[1], UINT64_MAX, &record.method_id)
        || !read_uint64(args[2], INT64_MAX, &deadline_ns)
        || !read_uint64(args[3], INT64_MAX, &now_ns) || !read_uint64(args[4], UINT8_MAX, &lane)) {
        return NULL;
    }
    record.remaining_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
    record.lane = (uint8_t)lane;
    return (PyObject *)begin(self, args[0], &record, (int64_t)deadline_ns, args[5]);
}

/* Ends a call whose wait an exception cut short, as its awaiter would; the exception stays. */
static void give_up(const struct flow *self, struct call *call) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *failed = PyObject_CallMethod(self->connection, "cancel", "O", (PyObject *)call);
    Py_XDECREF(failed);
    PyErr_Restore(type, value, trace);
    Py_DECREF((PyObject *)call);
}

/* Whether a request may be sent now, past the pump: nothing waits to be seen or sent before it. */
static bool is_ready(struct crossing *crossing, int64_t now_ns) {
    struct te_record record;
    const uint8_t *payload;
    const bool was_idle = now_ns - crossing->exchanged_ns > IDLE_NS;
    crossing->exchanged_ns = now_ns;
    return !was_idle && crossing->channel != NULL && !crossing->is_blocked
           && crossing->left == NULL && engine.peek(crossing->channel, &record, &payload) == 0;
}

/* exchange(payload, (method_id, timeout_ns, lane, loop, spin_ns)) -> the result; or the
 * OutgoingCall, if that did not come meanwhile; or None where nothing was sent, since the pump has
 * work first */
static PyObject *flow_exchange(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct flow *self = (struct flow *)object;
    struct te_record record = {.kind = TE_REQUEST, .flow = self->number};
    uint64_t spin_ns;
    uint64_t lane;
    if (count != EXCHANGE_ARGUMENTS || !PyTuple_Check(args[1])
        || PyTuple_Size(args[1]) != HOW_FIELDS) {
        PyErr_SetString(PyExc_TypeError, "exchange takes a payload, and five values that say how");
        return NULL;
    }
    PyObject *how = args[1];
    const int64_t now_ns = clock_ns();
    if (!read_uint64(PyTuple_GetItem(how, 0), UINT64_MAX, &record.method_id)
        || !read_uint64(PyTuple_GetItem(how, 1), (uint64_t)(INT64_MAX - now_ns),
                        &record.remaining_ns)
        || !read_uint64(PyTuple_GetItem(how, 2), UINT8_MAX, &lane)
        || !read_uint64(PyTuple_GetItem(how, 4), INT64_MAX, &spin_ns)) {
        return NULL;
    }
    if (!is_ready(self->crossing, now_ns)) {
        Py_RETURN_NONE;
    }
    record.lane = (uint8_t)lane;
    const uint64_t patience_ns = spin_ns < record.remaining_ns ? spin_ns : record.remaining_ns;
    const int64_t deadline_ns = now_ns + (int64_t)record.remaining_ns;
    struct call *call = begin(self, args[0], &record, deadline_ns, PyTuple_GetItem(how, 3));
    if (call == NULL) {
        return NULL;
    }
    if (!crossing_await(self->crossing, call, now_ns + (int64_t)patience_ns)) {
        give_up(self, call);
        return NULL;
    }
    if (call->state != CALL_ENDED || !PyBytes_CheckExact(call->result)) {
        return (PyObject *)call;
    }
    PyObject *result = Py_NewRef(call->result);
    Py_DECREF((PyObject *)call);
    return result;
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

/* Notes the call where its deadline, and its cancellation, will find it. */
static bool note_incoming(const struct flow *self, struct incoming *call, PyObject *call_id,
                          uint64_t remaining_ns) {
    if (PyDict_SetItem(self->incoming, call_id, (PyObject *)call) != 0) {
        return false;
    }
    const int64_t now_ns = clock_ns();
    call->taken_ns = now_ns;
    if (remaining_ns == 0 || remaining_ns >= (uint64_t)(INT64_MAX - now_ns)) {
        return true; /* with all the time there is */
    }
    call->timed.deadline_ns = now_ns + (int64_t)remaining_ns;
    return deadlines_start(self->deadlines, &call->timed);
}

bool flow_serve(struct flow *self, const struct te_record *record, PyObject *payload) {
    PyObject *call_id = PyLong_FromUnsignedLongLong(record->call_id);
    const int found = call_id == NULL ? -1 : PyDict_Contains(self->incoming, call_id);
    struct incoming *call = NULL;
    bool is_well = false;
    if (found > 0) {
        is_well = ignore_request(self, record);
    } else if (found == 0) {
        call = incoming_make(record->call_id, record->method_id, INT64_MAX, self->connection);
    }
    if (call != NULL && note_incoming(self, call, call_id, record->remaining_ns)) {
        call->flow = (struct flow *)Py_NewRef((PyObject *)self);
        is_well = desk_take(self->desk, call, payload);
    }
    Py_XDECREF(call_id);
    Py_XDECREF((PyObject *)call);
    return is_well;
}

bool flow_reply(struct flow *self, struct incoming *call, PyObject *payload) {
    struct te_record record = {
        .kind = TE_REPLY,
        .flow = self->number,
        .call_id = call->call_id,
        .method_id = call->method_id,
    };
    call->answered = 1;
    const bool is_sent = post_message(self->crossing, self->ticket, payload, &record);
    timed_stop(&call->timed);
    PyObject *call_id = is_sent ? PyLong_FromUnsignedLongLong(call->call_id) : NULL;
    const bool is_done = call_id != NULL && PyDict_DelItem(self->incoming, call_id) == 0;
    Py_XDECREF(call_id);
    return is_done;
}

static PyMethodDef flow_methods[] = {
    {"serve", flow_let_serve, METH_VARARGS, NULL},
    {"request", (PyCFunction)(void (*)(void))flow_request, METH_FASTCALL, NULL},
    {"exchange", (PyCFunction)(void (*)(void))flow_exchange, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot flow_slots[] = {
    {Py_tp_new, (void *)flow_new},
    {Py_tp_dealloc, (void *)flow_dealloc},
    {Py_tp_traverse, (void *)flow_traverse},
    {Py_tp_clear, (void *)flow_clear},
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
    return flow_type == NULL ? -1 : PyModule_AddObjectRef(module, "Flow", (PyObject *)flow_type);
}
