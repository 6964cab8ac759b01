"""The only door to the compiled binding: text conversion, return codes, feature flags."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, cast

from dqlite_node.errors import NodeError

if TYPE_CHECKING:
    from dqlite_node._ffi import _FFI, CData, _Lib

#: The oldest release without known ways to lose or corrupt data (server-hazards.md).
RECOMMENDED = (1, 18, 6)

_CODES = {1: "error", 2: "misuse", 3: "out of memory"}


def _failure(function: str, rc: int, text: str = "") -> NodeError:
    return NodeError(f"dqlite_{function}: {text or _CODES.get(rc, 'error')} (code {rc})")


@cache
def _binding() -> tuple[_FFI, _Lib]:
    try:
        from dqlite_node._ffi import ffi, lib
    except ImportError as error:
        raise NodeError(
            f"the node host's C part cannot be loaded: {error}",
            hint="apt-get install libdqlite-dev python3-dev gcc pkg-config, then install "
            "dqlite-python again with DQLITE_NATIVE=require",
        ) from error

    @ffi.def_extern(error=1)
    def shim_connect(argument: CData, address: CData, out: list[int]) -> int:
        dial = cast("Callable[[str], int | None]", ffi.from_handle(argument))
        descriptor = dial(ffi.string(address).decode())
        if descriptor is None:
            return lib.DQLITE_ERROR
        out[0] = descriptor
        return 0

    return ffi, lib


def _text(value: CData) -> str:
    ffi, _ = _binding()
    return "" if value == ffi.NULL else ffi.string(value).decode(errors="replace")


@cache
def _features() -> dict[str, bool]:
    _, lib = _binding()
    return {
        _text(lib.shim_feature_name(index)): bool(lib.shim_feature_present(index))
        for index in range(lib.shim_feature_count())
    }


def features() -> dict[str, bool]:
    """What the loaded libdqlite can do beyond 1.11.1, by the symbols that it exports (W 9.5).

    Keys are function names without `dqlite_node_`. Raises NodeError if the C part is missing.
    """
    return dict(_features())


def stops_amid_answers() -> bool:
    """Whether the engine may be stopped while it sends the parts of an answer.

    1.11 aborts then (`g->stmt != NULL`). 1.18 does not; the function asked for came with it.
    """
    return _features()["describe_last_entry"]


def engine_version() -> str:
    """Version of the loaded libdqlite, such as `1.18.7`.

    Releases before 1.18.3 give only a number that lags behind (1.11.1 says 1.10.0), so ask
    `features()` for what the library can do.
    """
    _, lib = _binding()
    named = re.match(r"[0-9.]+", _text(lib.shim_version_string()))
    if named:
        return named[0]
    number = lib.dqlite_version_number()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def is_recommended() -> bool:
    """Whether the engine is 1.18.6 or later, believing only those that name their release."""
    parts = tuple(int(part) for part in engine_version().split("."))
    return _features()["version_string"] and parts >= RECOMMENDED


class Handle:
    """One `dqlite_node *`, good for one start (W 9.5). Not thread safe: the caller serialises.

    Every method raises NodeError if libdqlite reports an error.
    """

    def __init__(self, node_id: int, address: str, data_dir: str) -> None:
        """Create the C object; nothing is bound or read from disk yet."""
        self._ffi, self._lib = _binding()
        out = self._ffi.new("dqlite_node **")
        rc = self._lib.dqlite_node_create(node_id, address.encode(), os.fsencode(data_dir), out)
        self._node = out[0]
        self._callback: CData | None = None
        if rc:
            failure = _failure("node_create", rc, self._message())
            self.destroy()
            raise failure

    def _message(self) -> str:
        if self._node == self._ffi.NULL:
            return ""
        return _text(self._lib.dqlite_node_errmsg(self._node))

    def _check(self, function: str, rc: int) -> None:
        if rc:
            raise _failure(f"node_{function}", rc, self._message())

    def set_dialer(self, dial: Callable[[str], int | None]) -> None:
        """Have peers dialled by `dial(address)`: a connected descriptor, or None if it failed."""
        self._callback = self._ffi.new_handle(dial)
        rc = self._lib.dqlite_node_set_connect_func(
            self._node, self._lib.shim_connect, self._callback
        )
        self._check("set_connect_func", rc)

    def set_network_latency(self, milliseconds: int) -> None:
        """Set the one-way latency: heartbeats every 1.5, elections after 15 of it (W 9.4)."""
        rc = self._lib.dqlite_node_set_network_latency_ms(self._node, milliseconds)
        self._check("set_network_latency_ms", rc)

    def set_failure_domain(self, code: int) -> None:
        """Set the tag that DESCRIBE reports."""
        rc = self._lib.dqlite_node_set_failure_domain(self._node, code)
        self._check("set_failure_domain", rc)

    def set_snapshot_params(self, threshold: int, trailing: int) -> None:
        """Set after how many log entries to snapshot, and how many to keep behind it."""
        rc = self._lib.dqlite_node_set_snapshot_params(self._node, threshold, trailing)
        self._check("set_snapshot_params", rc)

    def set_option(self, name: str, *values: int) -> None:
        """Set what only some engines have; `name` is the feature's, such as `set_block_size`.

        NodeError if the loaded engine lacks it.
        """
        if not _features()[name]:
            raise NodeError(
                f"libdqlite {engine_version()} has no dqlite_node_{name}",
                hint="leave the option out, or use a newer libdqlite",
            )
        function = getattr(self._lib, f"dqlite_node_{name}")
        self._check(name, function(self._node, *values))

    def last_entry(self) -> tuple[int, int]:
        """Term and index of the last entry on disk; needs the feature `describe_last_entry`.

        Never on a started node; the engine may tidy its files.
        """
        numbers = [self._ffi.new("uint64_t *") for _ in range(2)]
        index, term = cast("list[list[int]]", numbers)
        rc = self._lib.dqlite_node_describe_last_entry(self._node, index, term)
        self._check("describe_last_entry", rc)
        return term[0], index[0]

    def recover(self, node_id: int, address: str) -> None:
        """Make this member, not started, the only one of its cluster, under that address.

        The handle is good for nothing but `destroy` then.
        """
        rc = self._lib.shim_recover(self._node, node_id, address.encode())
        self._check("recover_ext", rc)

    def bind(self, address: str) -> None:
        """Bind a numeric address; mandatory before start."""
        rc = self._lib.dqlite_node_set_bind_address(self._node, address.encode())
        self._check("set_bind_address", rc)

    @property
    def bind_address(self) -> str:
        """What was bound, with an automatic abstract name filled in."""
        return _text(self._lib.dqlite_node_get_bind_address(self._node))

    def start(self) -> None:
        """Load the data and start the loop thread; blocks meanwhile, without the GIL."""
        self._check("start", self._lib.dqlite_node_start(self._node))

    def stop(self) -> None:
        """Stop and join the loop thread; waits for a dialler that is under way."""
        self._check("stop", self._lib.dqlite_node_stop(self._node))

    def destroy(self) -> None:
        """Free the C object; never while it runs."""
        if self._node != self._ffi.NULL:
            self._lib.dqlite_node_destroy(self._node)
        self._node = self._ffi.NULL
        self._callback = None
