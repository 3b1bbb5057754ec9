/* Two ends of one ring that sleep whenever they can: a producer for room, a consumer for records.
 *
 * Run by ../../test_doorbell_model.py, as it is and with one of the BROKEN_* macros. A comment
 * `@function: code` beside a statement names the line of transport_engine/csrc/shm that it stands
 * for; the test holds both against each other, in both directions.
 *
 * Memory: a store waits in a buffer of its end and its location, and becomes visible at any time
 * after; so stores to different locations are seen in any order (PSO, weaker than x86). A fence,
 * and an exchange, waits until the end's buffers are empty. Loads are not reordered: that, and the
 * content of records, is what test_ring_orders.py looks at.
 *
 * An end that sleeps for ever is an invalid end state; ends that never get on are a cycle; a wake
 * too many breaks an assertion.
 * Sources: docs/channel.md §4; G. Holzmann, "The Spin Model Checker", 2003.
 */
#define CAPACITY 4
#define WAKE_ROOM 2
#define RECORDS 5
#define SOCKET 3 /* bytes that it holds; more are refused, as send with EAGAIN */

#define PRODUCER 0
#define CONSUMER 1
#define TAIL 0
#define HEAD 1
#define ARMED 2 /* ARMED + end */
#define LOCATIONS 4

#define STORE(location, value) buffers[_pid * LOCATIONS + location]!value
#define EMPTY(location) (len(buffers[_pid * LOCATIONS + location]) == 0)
#define FENCE (EMPTY(TAIL) && EMPTY(HEAD) && EMPTY(ARMED + _pid) && EMPTY(ARMED + 1 - _pid))
#define LOAD(location) memory[location]

chan buffers[8] = [2] of { byte };
byte memory[LOCATIONS];
byte sockets[2];
byte due[2]; /* times that the end armed, less bytes that were sent to it */

/* ---- doorbell.c ---- */

inline doorbell_ring() {
#ifndef BROKEN_NO_FENCE_BEFORE_LOOK
    FENCE; /* @doorbell_ring: atomic_thread_fence(memory_order_seq_cst) */
#endif
    /* @doorbell_ring: atomic_load_explicit(doorbell->peer_armed, memory_order_relaxed) */
    seen = LOAD(ARMED + 1 - _pid);
    if
    :: seen == 0 /* @doorbell_ring: return false; */
    :: seen != 0 ->
#ifdef BROKEN_CLEARED_AFTER_SEND
        send_byte();
        STORE(ARMED + 1 - _pid, 0);
#else
        atomic { /* an exchange is one step, and drains the buffers */
            FENCE;
            seen = memory[ARMED + 1 - _pid];
#ifndef BROKEN_STAYS_ARMED
            /* @doorbell_ring: atomic_exchange_explicit(doorbell->peer_armed, 0,
                                                        memory_order_acq_rel) */
            memory[ARMED + 1 - _pid] = 0;
#endif
        }
        if
        :: seen == 0 /* @doorbell_ring: return false; */
        :: seen != 0 -> send_byte()
        fi
#endif
    fi
}

inline send_byte() {
    atomic {
        assert(due[1 - _pid] > 0); /* one sleep costs one system call */
        due[1 - _pid]--;
        if
        :: sockets[1 - _pid] < SOCKET -> sockets[1 - _pid]++
           /* @doorbell_ring: send(doorbell->fd, &wake, sizeof wake, MSG_DONTWAIT | MSG_NOSIGNAL) */
        :: else /* full is readable */
        fi
    }
}

inline doorbell_arm() {
    atomic {
        due[_pid]++;
        /* @doorbell_arm: atomic_store_explicit(doorbell->own_armed, wakes, memory_order_relaxed) */
        STORE(ARMED + _pid, 1);
    }
#ifndef BROKEN_NO_FENCE_AFTER_ARM
    FENCE /* @doorbell_arm: atomic_thread_fence(memory_order_seq_cst) */
#endif
}

inline doorbell_disarm() {
    /* @doorbell_disarm: atomic_store_explicit(doorbell->own_armed, 0, memory_order_relaxed) */
    STORE(ARMED + _pid, 0)
}

inline doorbell_awake() {
    atomic { sockets[_pid] > 0 }; /* the caller's sleep on the socket */
    doorbell_disarm(); /* @doorbell_awake: doorbell_disarm(doorbell) */
    sockets[_pid] = 0 /* @doorbell_awake: recv(doorbell->fd, wakes, sizeof wakes, MSG_DONTWAIT) */
}

/* ---- ring.c and end.c; published and rung are counted for this model's one ring ---- */

inline ring_publish(location) {
    /* @ring_publish: atomic_store_explicit(ring->own_shared, ring->position,
                                            memory_order_release) */
    STORE(location, position)
}

inline ring_available(location) {
    /* @ring_available: atomic_load_explicit(ring->peer_shared, memory_order_acquire) */
    peer = LOAD(location)
}

inline end_ring_readable() {
    if
    :: rung != position -> /* @end_ring: if (out->rung != out->published) */
        rung = position; /* @end_ring: out->rung = out->published */
        doorbell_ring() /* @end_ring: doorbell_ring(&end->doorbell, happened) */
    :: else
    fi
}

inline end_ring_writable() {
    if
    :: rung != position -> /* @end_ring: if (in->rung != in->published) */
        rung = position; /* @end_ring: in->rung = in->published */
        if
#ifdef BROKEN_RINGS_ONLY_AT_THE_EDGE
        :: CAPACITY - (peer - position) == WAKE_ROOM + 1 ->
#else
        :: CAPACITY - (peer - position) >= WAKE_ROOM ->
           /* @end_ring: if (in->capacity_bytes - (in->peer - in->published)
                             >= ring_wake_room(in)) */
#endif
            doorbell_ring() /* @end_ring: doorbell_ring(&end->doorbell, happened) */
        :: else
        fi
    :: else
    fi
}

/* What end_arm does after it has published and rung; `ready` says what the look found. */
inline arm_and_look(location, ready) {
#ifdef BROKEN_LOOK_BEFORE_ARM
    ring_available(location);
    if
    :: ready
    :: else -> doorbell_arm(); doorbell_awake()
    fi
#else
    doorbell_arm(); /* @end_arm: doorbell_arm(&end->doorbell, wakes) */
    ring_available(location); /* @end_arm: ring_available( */
    if
    :: ready ->
#ifndef HARMLESS_STAYS_ARMED_AWAKE
        doorbell_disarm() /* @end_arm: doorbell_disarm(&end->doorbell) */
#endif
    :: else ->
#ifdef BROKEN_NEVER_SLEEPS
        doorbell_disarm()
#else
        doorbell_awake()
#endif
    fi
#endif
}

active proctype producer() {
    byte position, peer, rung, seen;
    do
    :: position == RECORDS -> break
    :: position < RECORDS && position - peer < CAPACITY ->
        position++;
#ifdef BROKEN_RINGS_BEFORE_PUBLISHING
        end_ring_readable();
        ring_publish(TAIL)
#else
        ring_publish(TAIL);
        if
        :: end_ring_readable()
        :: true /* with the next one, or before it sleeps */
        fi
#endif
    :: position < RECORDS && position - peer == CAPACITY ->
        ring_available(HEAD);
        if
        :: position - peer < CAPACITY
        :: else ->
            end_ring_readable(); /* @end_arm: end_ring(end) */
            arm_and_look(HEAD, CAPACITY - (position - peer) >= WAKE_ROOM)
        fi
    od;
    end_ring_readable()
}

active proctype consumer() {
    byte position, peer, rung, seen;
    do
    :: position == RECORDS -> break
    :: position < RECORDS && peer > position ->
        position++;
        ring_publish(HEAD);
        if
        :: end_ring_writable()
        :: true
        fi
    :: position < RECORDS && peer == position ->
        ring_available(TAIL);
        if
        :: peer > position
        :: else ->
            end_ring_writable(); /* @end_arm: end_ring(end) */
            arm_and_look(TAIL, peer > position)
        fi
    od;
    end_ring_writable()
}

#define DRAIN(end, location) \
    :: atomic { buffers[end * LOCATIONS + location]?value -> memory[location] = value; value = 0 }

/* The oldest store of any buffer becomes visible. */
active proctype buffers_drain() {
    byte value;
end:
    do
    DRAIN(PRODUCER, TAIL)
    DRAIN(CONSUMER, HEAD)
    DRAIN(PRODUCER, ARMED + PRODUCER)
    DRAIN(PRODUCER, ARMED + CONSUMER)
    DRAIN(CONSUMER, ARMED + PRODUCER)
    DRAIN(CONSUMER, ARMED + CONSUMER)
    od
}
