"""What idle flows cost in processor time and memory: `python -m benchmarks.idle`.

Two engines in one process keep flows alive that nobody uses, on virtual time; the C program that
does it is tests/transport_engine/csrc/engine/idle_flows.c. Does not measure system calls.
"""

import argparse
import json
import subprocess
import sys

from tests.c_builds import RELEASE

FLOWS = (100, 1_000, 10_000)
SECONDS = 20
TIMEOUT_S = 300.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, nargs="*", default=FLOWS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of virtual time")
    arguments = parser.parse_args()
    program = RELEASE.program("tests/transport_engine/csrc/idle_flows")
    print("| idle flows | of a core | packets/s | polls/s | bytes/flow |")
    print("|---:|---:|---:|---:|---:|")
    for flows in arguments.flows:
        argv = [str(program), str(flows), str(arguments.seconds)]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S)
        figures = json.loads(done.stdout)
        print(
            f"| {flows:,} | {figures['share_of_core']:.2%} | {figures['packets_per_s']:,.0f} "
            f"| {figures['polls_per_s']:,.0f} | {figures['bytes_per_flow']:,.0f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
