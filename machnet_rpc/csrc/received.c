/* Received: the payload of a large message, handed out as a view of memory that is used again.
 *
 * Its block goes back to the pool when the last view of it is gone, so no memory is ever used again
 * under somebody who can still see it. Fresh memory would cost more than the copy into it: the
 * kernel clears each page when it is touched first.
 *
 * Thread: all with the GIL held.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "crossing.h"

enum {
    POOL_BLOCKS_MAX = 8,
    POOL_BYTES_MAX = 32 << 20, /* kept for the next messages, in all */
    HUGE_BYTES = 1 << 21,
    BLOCK_BYTES_MIN = 2 * TE_RECORD_PAYLOAD_MAX,
    BLOCK_ALIGN = 4096
};

struct block {
    uint8_t *bytes;
    size_t size_bytes;
};

struct received {
    PyObject ob_base; /* PyObject_HEAD */
    struct block block;
    Py_ssize_t size_bytes;
};

static PyTypeObject *received_type;

static struct {
    struct block blocks[POOL_BLOCKS_MAX];
    int count;
    size_t size_bytes;
} pool;

/* A power of two, so that messages of similar sizes share blocks. */
static size_t block_size(size_t wanted_bytes) {
    size_t size = BLOCK_BYTES_MIN;
    while (size < wanted_bytes) {
        size *= 2;
    }
    return size;
}

static struct block block_take(size_t wanted_bytes) {
    struct block block = {.size_bytes = block_size(wanted_bytes)};
    for (int i = pool.count - 1; i >= 0; i--) {
        if (pool.blocks[i].size_bytes == block.size_bytes) {
            block = pool.blocks[i];
            pool.blocks[i] = pool.blocks[--pool.count];
            pool.size_bytes -= block.size_bytes;
            return block;
        }
    }
    const bool is_huge = block.size_bytes >= HUGE_BYTES;
    void *bytes = NULL;
    if (posix_memalign(&bytes, is_huge ? HUGE_BYTES : BLOCK_ALIGN, block.size_bytes) == 0) {
        block.bytes = bytes;
        if (is_huge) {
            madvise(bytes, block.size_bytes, MADV_HUGEPAGE); /* where it has none, small ones do */
        }
    }
    return block;
}

static void block_give(struct block block) {
    if (pool.count < POOL_BLOCKS_MAX && pool.size_bytes + block.size_bytes <= POOL_BYTES_MAX) {
        pool.blocks[pool.count++] = block;
        pool.size_bytes += block.size_bytes;
    } else {
        free(block.bytes);
    }
}

PyObject *received_make(size_t size_bytes, uint8_t **bytes) {
    struct received *self = (struct received *)PyType_GenericAlloc(received_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->block = block_take(size_bytes);
    if (self->block.bytes == NULL) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    self->size_bytes = (Py_ssize_t)size_bytes;
    *bytes = self->block.bytes;
    return (PyObject *)self;
}

static void received_dealloc(PyObject *object) {
    struct received *self = (struct received *)object;
    if (self->block.bytes != NULL) {
        block_give(self->block);
    }
    object_free(object);
}

static int received_view(PyObject *object, Py_buffer *view, int flags) {
    struct received *self = (struct received *)object;
    return PyBuffer_FillInfo(view, object, self->block.bytes, self->size_bytes, 1, flags);
}

static Py_ssize_t received_length(PyObject *object) {
    return ((struct received *)object)->size_bytes;
}

/* pool() -> the blocks and the bytes that wait to be used again */
PyObject *received_pool(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return Py_BuildValue("in", pool.count, (Py_ssize_t)pool.size_bytes);
}

static PyType_Slot received_slots[] = {
    {Py_tp_dealloc, (void *)received_dealloc},
    {Py_bf_getbuffer, (void *)received_view},
    {Py_sq_length, (void *)received_length},
    {0, NULL},
};

static PyType_Spec received_spec = {
    .name = "machnet_rpc._crossing.Received",
    .basicsize = sizeof(struct received),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = received_slots,
};

int received_register(PyObject *module) {
    received_type = (PyTypeObject *)PyType_FromSpec(&received_spec);
    return received_type == NULL ? -1 : PyModule_AddType(module, received_type);
}
