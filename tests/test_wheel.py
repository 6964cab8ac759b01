"""What the build backend puts into a wheel; `make wheel` tries the self-contained one by itself."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["dqlite_dbapi", "sqlalchemy_dqlite", "native", "examples"]
FILES = ["pyproject.toml", "README.md", "LICENSE"]
COMPILED = {"dqlite_dbapi/_rows.abi3.so", "dqlite_node/_ffi.abi3.so"}
NO_COMPILER = str(Path(sys.executable).parent)


@pytest.fixture
def sources(tmp_path):
    """The distribution's sources, with a library's licence beside ours, as .ci/wheel.sh puts it."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so"))
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "LICENSE.libexample0").write_text("free")
    return tmp_path


def build(sources, native, path):
    """Run pip wheel; gives its result and the wheels there are."""
    command = [sys.executable, "-m", "pip", "wheel", "-w", "built", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*command, "--no-build-isolation", "."],
        cwd=sources,
        env={**os.environ, "DQLITE_NATIVE": native, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, list((sources / "built").glob("*.whl"))


@pytest.mark.parametrize(
    ("native", "path", "compiled"),
    [
        pytest.param("require", os.environ["PATH"], COMPILED, id="require"),
        pytest.param("off", os.environ["PATH"], set(), id="off"),
        pytest.param("auto", NO_COMPILER, set(), id="no compiler"),
    ],
)
def test_a_wheel_has_its_parts(sources, native, path, compiled):
    done, wheels = build(sources, native, path)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels
    tag = wheel.stem.split("-", 2)[2]
    assert tag.startswith("cp310-abi3-linux") if compiled else tag == "py3-none-any"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (folder,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert {name for name in names if name.endswith(".so")} == compiled
    licences = ["LICENSE", "LICENSE.libexample0"]
    assert sorted(metadata.get_all("License-File", [])) == licences
    assert {f"{folder}/licenses/{name}" for name in licences} <= names
    assert {"dqlite_dbapi/py.typed", "dqlite_node/quickstart/alembic.ini"} <= names


def test_require_fails_without_a_compiler(sources):
    done, wheels = build(sources, "require", NO_COMPILER)
    assert done.returncode != 0
    assert wheels == []
    assert "apt-get install gcc" in done.stdout + done.stderr
