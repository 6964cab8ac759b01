"""Bytes to values and back: the dqlite wire protocol without any input or output."""
