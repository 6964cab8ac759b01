"""The command `dqlite-py`; needs the extra `[cli]`, and the driver itself imports none of it."""
