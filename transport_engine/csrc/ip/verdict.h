/* What a parser of this layer says of bytes: any bytes give exactly one of these. */
#ifndef IP_VERDICT_H
#define IP_VERDICT_H

enum verdict {
    VERDICT_OK,
    VERDICT_MALFORMED,  /* too short, or fields that contradict each other or the size */
    VERDICT_CHECKSUM,   /* damaged on the way */
    VERDICT_FRAGMENT,   /* a part of an IP packet; peers of ours never send one */
    VERDICT_UNSUPPORTED /* well-formed, for someone who speaks more protocols */
};

#endif
