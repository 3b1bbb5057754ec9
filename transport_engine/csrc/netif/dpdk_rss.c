#include "netif/dpdk_rss.h"

#include <string.h>

#include <rte_ethdev.h>

enum { GROUP = RTE_ETH_RETA_GROUP_SIZE, GROUPS_MAX = RSS_TABLE_MAX / GROUP };

/* hash_key_size is a byte. */
enum { KEY_BYTES_MAX = 256 };

static bool read_key(uint16_t port_id, bool ipv4, uint8_t key_bytes, struct rss *rss) {
    uint8_t key[KEY_BYTES_MAX] = {0};
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = key_bytes};
    uint64_t wanted = ipv4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP;
    if (rte_eth_dev_rss_hash_conf_get(port_id, &conf) != 0 || !(conf.rss_hf & wanted)) {
        return false;
    }
    memcpy(rss->key, key, sizeof rss->key);
    return true;
}

static bool read_table(uint16_t port_id, uint16_t size, struct rss *rss) {
    struct rte_eth_rss_reta_entry64 groups[GROUPS_MAX];
    memset(groups, 0, sizeof groups);
    for (uint16_t i = 0; i < size; i++) {
        groups[i / GROUP].mask |= UINT64_C(1) << i % GROUP;
    }
    if (rte_eth_dev_rss_reta_query(port_id, groups, size) != 0) {
        return false;
    }
    for (uint16_t i = 0; i < size; i++) {
        rss->table[i] = groups[i / GROUP].reta[i % GROUP];
    }
    return true;
}

void dpdk_rss_read(uint16_t port_id, bool ipv4, struct rss *rss) {
    struct rte_eth_dev_info info;
    memset(rss, 0, sizeof *rss);
    if (rte_eth_dev_info_get(port_id, &info) != 0 || info.reta_size == 0 ||
        info.reta_size > RSS_TABLE_MAX || (info.reta_size & (info.reta_size - 1)) != 0) {
        return;
    }
    uint8_t key_bytes = info.hash_key_size == 0 ? RSS_KEY_BYTES : info.hash_key_size;
    if (key_bytes >= RSS_KEY_BYTES && read_key(port_id, ipv4, key_bytes, rss) &&
        read_table(port_id, info.reta_size, rss)) {
        rss->table_size = info.reta_size;
    }
}
