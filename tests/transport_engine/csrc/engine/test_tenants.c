/* Handles: what a tenant calls its flows, over more lives of a place than the handle counts. */
#include "test.h"

#include <unistd.h>

#include "engine/command.h"
#include "engine/tenants.h"
#include "engine/wire.h"

static struct wire wire;

static int set_up(void **state) {
    (void)state;
    struct te_engine_config config;
    struct te_completion done;
    te_engine_config_init(&config);
    config.flows_max = 2;
    wire = (struct wire){0};
    assert_int_equal(wire_open(&wire, &config), TE_OK);
    command_execute(&wire.engine, &(struct te_command){.op = TE_ATTACH,
                                                       .ring_bytes = TE_RING_BYTES_MIN}, &done);
    assert_int_equal(done.error, TE_OK);
    close(done.memory_fd);
    close(done.doorbell_fd);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    engine_fini(&wire.engine, wire.now_ns);
    return 0;
}

static void the_last_handles_are_never_mistaken(void **state) {
    (void)state;
    const struct tenant *tenant = &wire.engine.tenants[0];
    uint32_t before[4] = {0};
    for (uint32_t life = 0; life < 3 * (UINT16_MAX + 1); life++) {
        struct engine_flow *flow = NULL;
        assert_int_equal(engine_open_flow(&wire.engine, 0, &flow), TE_OK);
        assert_ptr_equal(tenant_find_flow(&wire.engine, tenant, flow->handle), flow);
        assert_true(flow->handle >= TENANT_FLOWS_MAX); /* no generation is 0 */
        for (int i = 0; i < 4; i++) {
            assert_null(tenant_find_flow(&wire.engine, tenant, before[i]));
        }
        before[life % 4] = flow->handle;
        tenant_disown(&wire.engine, flow);
        assert_null(tenant_find_flow(&wire.engine, tenant, before[life % 4]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_handles_are_never_mistaken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
