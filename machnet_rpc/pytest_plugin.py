"""The fixtures for pytest, by name: for a conftest where plugins do not load by themselves.

They stand in `pytest_machnet_rpc`, which pytest finds without importing this package.
"""

pytest_plugins: tuple[str, ...] = ("pytest_machnet_rpc",)
