"""`python -m machnet_rpc.cli`, the same as `mrpc`."""

import sys

from mrpc_script import main

if __name__ == "__main__":
    sys.exit(main())
