"""Python packages as text: the prose of their docstrings, and their code as whole repositories.

Prose and code share no paragraph: documentation is taken out of the code (the summary line stays), so that neither
domain repeats the other. A repository is one long document, a part of the package with all its files, each under
its path, what is imported before what imports it: what a later file uses stands earlier in the context.

Report: App. B.2 (web text; repository-level code, up-weighted).
"""

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

_Documented: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class SourceFile(NamedTuple):
    """One Python file: path from the folder that holds the package, and its text.

    Example:
        >>> SourceFile("skimage/util/_invert.py", "").module
        'skimage.util._invert'
    """

    path: str
    text: str

    @property
    def module(self) -> str:
        """Dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def source_files(folder: Path) -> list[SourceFile]:
    """All Python files below a package's folder in order of path; tests, generated and empty files left out."""
    paths = sorted(path for path in folder.rglob("*.py") if not _LEFT_OUT & set(path.relative_to(folder).parts))
    files = [SourceFile(path.relative_to(folder.parent).as_posix(), path.read_text("utf-8")) for path in paths]
    return [file for file in files if file.text.strip()]


_LEFT_OUT = {"tests", "_version.py", "version.py", "conftest.py", "externals", "__pycache__"}


class Parsed(NamedTuple):
    """What one reading of a file gives.

    Attributes:
        prose: (qualified name, docstring) of everything public that is documented by more than one line.
        code: the file with each docstring reduced to its first paragraph, licence comments removed.
        imports: dotted names that it imports; `from a import b` gives a and a.b.

    Example:
        >>> read = parsed(SourceFile("m.py", "import os\\n\\ndef f():\\n    'One.\\\\n\\\\nMore.'\\n    return 1\\n"))
        >>> read.prose, read.imports
        ([('m.f', 'One.\\n\\nMore.')], {'os'})
    """

    prose: list[tuple[str, str]]
    code: str
    imports: set[str]


def parsed(file: SourceFile) -> Parsed:
    """Read a file once. Raises SyntaxError for text that is not Python."""
    tree = ast.parse(file.text)
    return Parsed(list(_prose(tree, file.module)), _code(file.text, tree), _imports(file, tree))


def _prose(node: _Documented, name: str) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text and "\n" in text:
        yield name, text
    for child in _definitions(node):
        if not child.name.startswith("_"):
            yield from _prose(child, f"{name}.{child.name}")


def _definitions(node: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions directly inside `node`, those under `if`, `try` and `with` included."""
    for child in _statements(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for block in ("body", "orelse", "handlers", "finalbody"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _statements(child)
            elif isinstance(child, ast.stmt):
                yield child


def _code(text: str, tree: ast.Module) -> str:
    lines = text.splitlines()
    for found in sorted(_docstrings(tree), key=lambda node: node.lineno, reverse=True):
        summary = " ".join(inspect.cleandoc(str(found.value)).split("\n\n")[0].split())
        quoted = '"""' + summary.replace("\\", "\\\\").replace('"""', "'''") + '"""'
        lines[found.lineno - 1 : found.end_lineno] = [" " * found.col_offset + quoted]
    body = re.sub(r"\A(?:#.*\n|\s*\n)+", "", "\n".join(lines))
    return _LICENCE.sub("", body).rstrip() + "\n"


_LICENCE = re.compile(r"^# *(?:Authors?|SPDX-License-Identifier|Licen[sc]e|Copyright)\b.*\n(?:#  .*\n)*", re.MULTILINE)


def _docstrings(node: _Documented) -> Iterator[ast.Constant]:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        if len(node.body) == 1 or node.body[1].lineno > (first.end_lineno or 0):  # not "text"; code on one line
            yield first.value
    for child in _definitions(node):
        yield from _docstrings(child)


def _imports(file: SourceFile, tree: ast.Module) -> set[str]:
    names: set[str] = set()
    package = file.module if file.path.endswith("__init__.py") else file.module.rpartition(".")[0]
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(package, node)
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return names


def _absolute(package: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def repository(title: str, files: Sequence[tuple[SourceFile, Parsed]]) -> str:
    """Files as one document, imported ones first.

    Example:
        >>> files = [SourceFile("m/a.py", "from .b import x"), SourceFile("m/b.py", "x = 1")]
        >>> print(repository("m", [(file, parsed(file)) for file in files]))
        # Repository m: 2 files
        <BLANKLINE>
        # File: m/b.py
        x = 1
        <BLANKLINE>
        # File: m/a.py
        from .b import x
        <BLANKLINE>
    """
    body = "\n".join(f"# File: {file.path}\n{read.code}" for file, read in in_import_order(files))
    return f"# Repository {title}: {len(files)} files\n\n{body}"


def in_import_order(files: Sequence[tuple[SourceFile, Parsed]]) -> list[tuple[SourceFile, Parsed]]:
    """Depth first along imports between these files; files that import in a circle keep the order of their paths."""
    by_module = {file.module: (file, read) for file, read in files}
    ordered: list[str] = []
    visited: set[str] = set()

    def visit(module: str) -> None:
        if module not in visited:
            visited.add(module)
            for other in sorted(by_module[module][1].imports & by_module.keys()):
                visit(other)
            ordered.append(module)

    for file, _ in files:
        visit(file.module)
    return [by_module[module] for module in ordered]
