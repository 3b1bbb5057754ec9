"""`python -m machnet_rpc.cli`, the same as `mrpc`."""

import sys

from machnet_rpc.cli import main

if __name__ == "__main__":
    sys.exit(main())
