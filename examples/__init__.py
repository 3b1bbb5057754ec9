"""Real programs on top of `machnet_rpc`, used as a user would use it."""
