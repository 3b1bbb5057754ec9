/* Endpoints as the kernel's socket addresses and as text, and what the kernel knows of them. */
#ifndef NETIF_SOCKADDR_H
#define NETIF_SOCKADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "transport_engine.h"

enum sockaddr_limit { ENDPOINT_TEXT_BYTES = 56 };

/* Writes the endpoint as an address of `family`, AF_INET or AF_INET6.
 * Returns its length, 0 if the family cannot express it. */
socklen_t sockaddr_write(const struct te_endpoint *endpoint, int family,
                         struct sockaddr_storage *address);
/* `address` is of AF_INET or AF_INET6. */
void sockaddr_read(const struct sockaddr_storage *address, struct te_endpoint *endpoint);

/* "10.0.0.2:7000" or "[::1]:7000". */
void endpoint_text(const struct te_endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES]);

/* The smallest MTU among the interfaces that carry `address`; for a wildcard, among all that are
 * up. Returns UINT32_MAX if the kernel does not say. */
uint32_t interface_mtu_bytes(const uint8_t address[16]);
/* Of one interface by its name; UINT32_MAX if the kernel does not say. */
uint32_t interface_mtu_bytes_by_name(const char *name);

#endif
