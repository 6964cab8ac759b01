"""The rules of docs/explanation/architecture.md, read from its table and checked with `ast`.

Each test gathers every breach as `file:line: what`, so that one run shows all of them.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
PACKAGES = {
    "dqlite_dbapi": "dqlite_dbapi",
    "sqlalchemy_dqlite": "sqlalchemy_dqlite",
    "dqlite_node": "native/dqlite_node",
    "dqlite_node.quickstart": "examples/quickstart",
}
DOCUMENTED = [*PACKAGES.values(), "native", "tests/support"]
LIMITED = ["dqlite_dbapi", "sqlalchemy_dqlite", "native", "examples", "benchmarks", "tests"]

FUNCTION_LINES = 60
FILE_LINES = 400
COMMENT_PERCENT = 10
FEW_COMMENTS = 2  # in a file so short that a percentage says nothing

Function = ast.FunctionDef | ast.AsyncFunctionDef


# --- the page's table -----------------------------------------------------------------------------


class Layer(NamedTuple):
    """One row of the table; patterns are module names, `a.b.*` means a.b and all below it."""

    label: str
    modules: tuple[str, ...]
    ours: tuple[str, ...]
    denied: tuple[str, ...]
    allowed: tuple[str, ...] | None


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a pattern names `module`."""
    return any(
        module == pattern.removesuffix(".*")
        or (pattern.endswith(".*") and module.startswith(pattern[:-1]))
        for pattern in patterns
    )


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


@cache
def layers() -> tuple[Layer, ...]:
    """Rows of the page's table, in order; the layer labels of its third column are resolved."""
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \d", line)
    ]
    by_label: dict[str, tuple[str, ...]] = {}
    for label, modules, _, _ in rows:
        number = label.partition(" ")[0]
        by_label[number] = by_label.get(number, ()) + _quoted(modules)
    found = []
    for label, modules, ours, outside in rows:
        named = [by_label[word] for word in re.findall(r"\b\d\w?\b", re.sub(r"`[^`]*`", "", ours))]
        only = _quoted(outside) if outside.startswith("all but") else None
        denied = () if only is not None else _quoted(outside)
        patterns = tuple(name for names in named for name in names) + _quoted(ours)
        found.append(Layer(label, _quoted(modules), patterns, denied, only))
    return tuple(found)


def layer_of(module: str) -> Layer | None:
    """The row that names `module` most closely: a.b.c before a.b.*, and that before a.*."""
    named = [(len(pattern), layer) for layer in layers() for pattern in layer.modules
             if matches(module, (pattern,))]  # fmt: skip
    return max(named, key=lambda pair: pair[0])[1] if named else None


# --- the sources ----------------------------------------------------------------------------------


class Source(NamedTuple):
    """A Python file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    def at(self, node: ast.AST | int, message: str) -> str:
        """`file:line: message` for a node or a line number."""
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.path}:{line}: {message}"


@cache
def source(path: Path) -> Source:
    """Read and parse one file."""
    text = path.read_text(encoding="utf-8")
    return Source(str(path.relative_to(ROOT)), text, ast.parse(text))


def sources(folders: list[str]) -> list[Source]:
    """Every Python file below `folders`, once."""
    return [source(path) for path in sorted({p for f in folders for p in (ROOT / f).rglob("*.py")})]


@cache
def modules() -> dict[str, Path]:
    """Module name -> file, of everything we ship; a stub stands for a compiled module."""
    found: dict[str, Path] = {}
    for package, folder in PACKAGES.items():
        base = ROOT / folder
        for path in [*base.rglob("*.pyi"), *base.rglob("*.py")]:
            parts = path.relative_to(base).with_suffix("").parts
            names = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *names))] = path
    return found


class Import(NamedTuple):
    """A module that a file imports, or a `name` of that module."""

    node: ast.stmt
    module: str
    name: str | None


def imports(package: str, tree: ast.Module) -> Iterator[Import]:
    """Every import in a file of `package`, wherever it stands; `from a import b` may give a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = node.module or ""
            if node.level:
                origin = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                is_module = inner in modules()
                yield Import(node, inner, None) if is_module else Import(node, origin, alias.name)


def is_ours(module: str) -> bool:
    """Say whether `module` belongs to this distribution."""
    return module.partition(".")[0] in PACKAGES


def breach(layer: Layer, importer: str, found: Import) -> str | None:
    """What is wrong with an import of a module of `layer`; None if nothing is."""
    target, name = found.module, found.name
    if matches(target, tuple(f"{denied}.*" for denied in layer.denied)):
        return f"layer {layer.label} must not import {target}"
    if not is_ours(target):
        top = target.partition(".")[0]
        if layer.allowed is not None and top not in (*layer.allowed, "__future__"):
            return f"layer {layer.label} may import only {', '.join(layer.allowed)}; not {target}"
        return None
    if target != importer and not matches(target, layer.ours):
        return f"layer {layer.label} may not import {target}"
    is_foreign = target.partition(".")[0] != importer.partition(".")[0]
    if is_foreign and name is not None and re.match(r"_(?!_)", name):
        return f"{name} is private to {target}"
    return None


def report(breaches: list[str]) -> None:
    """Fail with every breach on a line of its own."""
    if breaches:
        pytest.fail(f"{len(breaches)} breaches\n" + "\n".join(breaches), pytrace=False)


# --- layers ---------------------------------------------------------------------------------------


def test_the_page_has_a_table() -> None:
    assert [layer.label[0] for layer in layers()][:4] == ["0", "1", "2", "3"]


def test_every_module_has_a_layer() -> None:
    report([f"{path.relative_to(ROOT)}:1: {name} is in no layer"
            for name, path in modules().items() if layer_of(name) is None])  # fmt: skip


def test_the_table_names_no_module_that_is_not_there() -> None:
    listed = {pattern for layer in layers() for pattern in (*layer.modules, *layer.ours)}
    report([f"{PAGE.name}: no module {pattern}" for pattern in sorted(listed)
            if not any(matches(name, (pattern,)) for name in modules())])  # fmt: skip


def test_imports_follow_the_layers() -> None:
    breaches = []
    for module, path in sorted(modules().items()):
        layer = layer_of(module)
        if layer is None or path.suffix != ".py":
            continue
        package = module if path.stem == "__init__" else module.rpartition(".")[0]
        for found in imports(package, source(path).tree):
            problem = breach(layer, module, found)
            if problem:
                breaches.append(source(path).at(found.node, f"{module}: {problem}"))
    report(list(dict.fromkeys(breaches)))


@pytest.mark.parametrize(
    ("importer", "statement", "is_fine"),
    [
        ("dqlite_dbapi.errors", "import enum", True),
        ("dqlite_dbapi.errors", "import re", False),
        ("dqlite_dbapi.errors", "from dqlite_dbapi.wire.constants import Role", False),
        ("dqlite_dbapi.wire.rows", "from .values import I64", True),
        ("dqlite_dbapi.wire.rows", "import socket", False),
        ("dqlite_dbapi.wire.rows", "from dqlite_dbapi import _sync", False),
        ("dqlite_dbapi.protocol.session", "from time import monotonic", False),
        ("dqlite_dbapi._sync", "from dqlite_dbapi._async import AsyncIO", False),
        ("sqlalchemy_dqlite.base", "import dqlite_dbapi", True),
        ("sqlalchemy_dqlite.base", "from dqlite_dbapi import _hidden", False),
        ("sqlalchemy_dqlite.base", "import alembic.ddl", False),
        ("sqlalchemy_dqlite.alembic", "from alembic.ddl.sqlite import SQLiteImpl", True),
        ("sqlalchemy_dqlite.base", "from dqlite_dbapi.wire import constants", False),
        ("dqlite_node.files", "from dqlite_node._ffi import lib", False),
        ("dqlite_node._lib", "from dqlite_node._ffi import lib", True),
    ],
)
def test_the_scanner_tells_good_from_bad(importer: str, statement: str, is_fine: bool) -> None:
    layer = layer_of(importer)
    assert layer is not None
    found = next(imports(importer.rpartition(".")[0], ast.parse(statement)))
    assert (breach(layer, importer, found) is None) is is_fine


def test_importing_the_driver_loads_no_optional_part() -> None:
    code = "import sys, dqlite_dbapi; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"asyncio", "sqlalchemy", "alembic", "cffi", "_cffi_backend", "dqlite_node", "click"}
    assert not unwanted & set(done.stdout.split())


# --- limits ---------------------------------------------------------------------------------------


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function of a tree, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def test_functions_are_short() -> None:
    report([file.at(node, f"{node.name} has {length} lines, more than {FUNCTION_LINES}")
            for file in sources(LIMITED) for node in functions(file.tree)
            if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES])  # fmt: skip


def test_files_are_short() -> None:
    report([file.at(1, f"{length} lines, more than {FILE_LINES}") for file in sources(LIMITED)
            if (length := len(file.text.splitlines())) > FILE_LINES])  # fmt: skip


def test_comments_are_few() -> None:
    breaches = []
    for file in sources(LIMITED):
        tokens = tokenize.generate_tokens(io.StringIO(file.text).readline)
        alone = [t for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip()[:1] == "#"]
        lines = len(file.text.splitlines())
        if len(alone) > max(FEW_COMMENTS, lines * COMMENT_PERCENT / 100):
            breaches.append(file.at(alone[0].start[0], f"{len(alone)} comment lines of {lines}"))
    report(breaches)


def _decorators(node: Function) -> set[str]:
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}


def undocumented(node: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """Public classes, functions and methods without a docstring; a private class has none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try):
            yield from undocumented(ast.Module([*child.body, *child.orelse], []))
        if not isinstance(child, ast.ClassDef | Function) or child.name.startswith("_"):
            continue
        if isinstance(child, Function) and _decorators(child) & {"setter", "overload", "override"}:
            continue
        if not ast.get_docstring(child):
            yield child
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child)


def test_every_public_name_has_a_docstring() -> None:
    files = [file for file in sources(DOCUMENTED) if "/versions/" not in file.path]
    breaches = [file.at(1, "the module has no docstring") for file in files
                if file.text.strip() and not ast.get_docstring(file.tree)]  # fmt: skip
    breaches += [file.at(node, f"{node.name} has no docstring")
                 for file in files for node in undocumented(file.tree)]  # fmt: skip
    report(breaches)
