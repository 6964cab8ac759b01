"""In-tree PEP 517 backend: setuptools' hooks, plus commands that build the C parts if they can.

`DQLITE_NATIVE` decides: `auto` (default) builds what this machine can build and names in one line
what it left out, `require` fails instead, `off` gives a pure wheel.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from setuptools import Extension
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.bdist_wheel import bdist_wheel as _bdist_wheel
from setuptools.command.build_ext import build_ext as _build_ext
from setuptools.command.sdist import sdist as _sdist
from setuptools.errors import SetupError

__all__ = [
    "bdist_wheel",
    "build_editable",
    "build_ext",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
    "sdist",
]

ROWS_MODULE = "dqlite_dbapi._rows"
NODE_MODULE = "dqlite_node._ffi"
ROWS_SOURCES = Path("native/rows")
ROWS_PARTS = ("rows", "params", "exchange", "memory")
NODE_SOURCES = Path("native/node")
MODES = ("auto", "require", "off")
OLDEST_PYTHON = "cp310"
LIMITED_API = "0x030A0000"
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")  #: free-threaded builds have no abi3


def _compiler() -> list[str]:
    configured = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    command = shlex.split(configured)
    return command if shutil.which(command[0]) else ["gcc"]


def _pkg_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["pkg-config", *arguments, "dqlite"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _compiles(header: str, *flags: str) -> bool:
    command = [*_compiler(), *flags, "-x", "c", "-fsyntax-only", "-"]
    program = f"#include <{header}>\n"
    return not subprocess.run(
        command, input=program, text=True, capture_output=True, check=False
    ).returncode


def missing_for_c() -> list[str]:
    """Debian packages that any C extension needs and that are not there."""
    missing = []
    if not shutil.which(_compiler()[0]):
        missing.append("gcc")
    elif not _compiles("stdio.h"):
        missing.append("libc6-dev")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        missing.append("python3-dev")
    return missing


def missing_for_node() -> list[str]:
    """Debian packages that the node binding needs and that are not there.

    dqlite.h includes sqlite3.h, which dqlite.pc does not ask for.
    """
    missing = missing_for_c()
    if not shutil.which("pkg-config"):
        return [*missing, "pkg-config", "libdqlite-dev"]
    if _pkg_config("--exists").returncode:
        return [*missing, "libdqlite-dev"]
    flags = shlex.split(_pkg_config("--cflags").stdout)
    if not missing and not _compiles("dqlite.h", *flags):
        return ["libsqlite3-dev"]
    return missing


@cache
def extensions() -> list[Extension]:
    """C extensions to build here, by `DQLITE_NATIVE`; raises SetupError where `require` cannot."""
    mode = os.environ.get("DQLITE_NATIVE") or "auto"
    if mode not in MODES:
        raise SetupError(f"DQLITE_NATIVE={mode}: expected one of {', '.join(MODES)}")
    if mode == "off":
        return []
    missing = {ROWS_MODULE: missing_for_c(), NODE_MODULE: missing_for_node()}
    left_out = [module for module, packages in missing.items() if packages]
    if left_out:
        wanted = " ".join(missing[NODE_MODULE])
        note = f"cannot build {' and '.join(left_out)}; run: apt-get install {wanted}"
        if mode == "require":
            raise SetupError(note)
        print(f"dqlite-python: {note}", file=sys.stderr)
    makers = {ROWS_MODULE: _rows_extension, NODE_MODULE: _node_extension}
    return [make() for module, make in makers.items() if module not in left_out]


def _rows_extension() -> Extension:
    macros = [("Py_LIMITED_API", LIMITED_API)] if LIMITED else []
    return Extension(
        ROWS_MODULE,
        sources=[str(ROWS_SOURCES / f"{part}.c") for part in ROWS_PARTS],
        depends=[str(ROWS_SOURCES / "rows.h")],
        define_macros=macros,
        py_limited_api=LIMITED,
    )


def _node_extension() -> Extension:
    macro = ("Py_LIMITED_API", LIMITED_API) if LIMITED else ("_CFFI_NO_LIMITED_API", "1")
    return Extension(
        NODE_MODULE,
        sources=[str(NODE_SOURCES / "shim.c")],
        depends=[str(NODE_SOURCES / "shim.c"), str(NODE_SOURCES / "dqlite.cdef.h")],
        include_dirs=[str(NODE_SOURCES)],
        extra_compile_args=shlex.split(_pkg_config("--cflags").stdout),
        extra_link_args=shlex.split(_pkg_config("--libs").stdout),
        define_macros=[macro],
        py_limited_api=LIMITED,
    )


class bdist_wheel(_bdist_wheel):
    """Decides which extensions there are, before the wheel's tag depends on it."""

    def finalize_options(self) -> None:
        """Set the distribution's extensions and, with any, the abi3 tag."""
        self.distribution.ext_modules = extensions()
        if LIMITED:
            self.py_limited_api = OLDEST_PYTHON
        super().finalize_options()

    def run(self) -> None:
        """Build from an empty build/lib, where setuptools would reuse files of another mode."""
        shutil.rmtree(self.get_finalized_command("build").build_lib, ignore_errors=True)
        super().run()


class build_ext(_build_ext):
    """Generates cffi's C source for the node binding just before it is compiled."""

    def build_extension(self, ext: Extension) -> None:
        """Compile; shim.c is replaced by cffi's source, which includes it."""
        if ext.name == NODE_MODULE:
            ext.sources = [self._generate()]
        super().build_extension(ext)

    def _generate(self) -> str:
        from cffi import FFI, recompiler

        ffi = FFI()
        ffi.cdef((NODE_SOURCES / "dqlite.cdef.h").read_text(encoding="utf-8"))
        target = Path(self.build_temp) / "_ffi.c"
        target.parent.mkdir(parents=True, exist_ok=True)
        recompiler.make_c_source(ffi, NODE_MODULE, '#include "shim.c"', str(target))
        return str(target)


class sdist(_sdist):
    """Adds the native sources and this backend, which setuptools leaves out."""

    def make_distribution(self) -> None:
        """Add every source below native/ to the archive, then write it."""
        kinds = ("*.py", "*.pyi", "*.c", "*.h")
        found = {str(path) for kind in kinds for path in Path("native").rglob(kind)}
        self.filelist.extend(sorted(found))
        super().make_distribution()
