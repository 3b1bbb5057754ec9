/* The table of drivers: every name that the build advertises opens, any other gets a sentence. */
#include "netif_fixture.h"

static void test_unknown_driver_lists_the_known(void **state) {
    (void)state;
    struct te_engine_config config = config_for("token-ring", ipv4_endpoint(1, 0));
    struct netif *netif;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(netif_open(&config, &netif, why), TE_E_NO_DRIVER);
    assert_non_null(strstr(why, "token-ring"));
    assert_non_null(strstr(why, te_drivers()));
}

static void test_no_driver_at_all(void **state) {
    (void)state;
    struct te_engine_config config = config_for(NULL, ipv4_endpoint(1, 0));
    struct netif *netif;
    char why[TE_WHY_BYTES] = "";
    assert_int_equal(netif_open(&config, &netif, why), TE_E_NO_DRIVER);
}

static void test_dpdk_is_advertised_or_explained(void **state) {
    (void)state;
    struct te_engine_config config = config_for("dpdk", ipv4_endpoint(1, 0));
    config.mtu_bytes = 0; /* refused before the driver touches the machine */
    struct netif *netif;
    char why[TE_WHY_BYTES] = "";
    int error = netif_open(&config, &netif, why);
    if (strstr(te_drivers(), "dpdk") == NULL) {
        assert_int_equal(error, TE_E_NO_DRIVER);
        assert_non_null(strstr(why, "libdpdk-dev"));
    } else {
        assert_int_equal(error, TE_E_INVALID);
    }
}

static void test_other_advertised_drivers_open(void **state) {
    (void)state;
    const char *names[] = {"udp", "loopback"};
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(te_drivers(), names[i]));
        struct te_engine_config config = config_for(names[i], ipv4_endpoint(1, 0));
        struct netif *netif = open_or_fail(&config);
        assert_string_equal(netif->ops->name, names[i]);
        netif->ops->close(netif);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_driver_lists_the_known),
        cmocka_unit_test(test_no_driver_at_all),
        cmocka_unit_test(test_dpdk_is_advertised_or_explained),
        cmocka_unit_test(test_other_advertised_drivers_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
