/* Names of errors and reasons, for people. */
#include "transport_engine.h"

const char *te_error_name(int error) {
    switch ((enum te_error)error) {
    case TE_OK:
        return "ok";
    case TE_E_INVALID:
        return "invalid argument";
    case TE_E_NO_MEMORY:
        return "out of memory or table space";
    case TE_E_AGAIN:
        return "not now";
    case TE_E_CLOSED:
        return "closed";
    case TE_E_IN_USE:
        return "in use";
    case TE_E_NO_DRIVER:
        return "no such driver";
    case TE_E_SYSTEM:
        return "system call failed";
    case TE_E_CORRUPT:
        return "corrupt shared memory";
    case TE_E_TOO_LARGE:
        return "too large";
    case TE_E_UNKNOWN:
        return "unknown";
    case TE_E_QUOTA:
        return "quota used up";
    case TE_E_DENIED:
        return "denied by the system";
    }
    return "unknown error";
}

const char *te_reason_name(int reason) {
    switch ((enum te_reason)reason) {
    case TE_R_NONE:
        return "none";
    case TE_R_CLOSED:
        return "closed by this side";
    case TE_R_PEER_CLOSED:
        return "closed by the peer";
    case TE_R_REFUSED:
        return "nobody listens on that port";
    case TE_R_NO_ANSWER:
        return "no answer";
    case TE_R_PEER_DEAD:
        return "the peer stopped answering";
    case TE_R_PEER_RESTARTED:
        return "the peer restarted";
    case TE_R_ENGINE_STOPPED:
        return "the engine stopped";
    case TE_R_VERSION:
        return "no common protocol version";
    case TE_R_NO_RESOURCES:
        return "out of resources";
    case TE_R_PROTOCOL:
        return "protocol violation";
    case TE_R_QUARANTINED:
        return "channel rules broken";
    case TE_R_FORBIDDEN:
        return "forbidden by policy";
    case TE_R_STALLED:
        return "a message was not finished";
    }
    return "unknown reason";
}
