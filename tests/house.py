"""The source of both packages as the laws of the house see it: parsed, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
PACKAGES = {"fanin": ROOT / "fanin", "fanin_backends": ROOT / "backends" / "fanin_backends"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen(slots=False)
class Source:
    """One module of the two packages."""

    name: str
    """As it is imported, `fanin.stages.vote`; a package bears its own name."""
    path: Path
    """Where it lies."""

    @property
    def is_package(self) -> bool:
        """Whether this is an `__init__.py`."""
        return self.path.name == "__init__.py"

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """The numbers of the lines that hold code: no blank line, no comment, no docstring."""
        written = enumerate(map(str.strip, self.text.splitlines()), 1)
        lines = {number for number, line in written if line and not line.startswith("#")}
        for node in self.nodes:
            # Within a text every line counts, what looks like a comment too.
            if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno:
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        for node in self.nodes:
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                for text in filter(is_docstring, node.body):
                    lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        return frozenset(lines)

    def imports(self) -> Iterator[str]:
        """The modules that are named by the imports of this file, inside functions too."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: a relative import"
                assert node.module is not None
                yield from (submodule_or_itself(node.module, alias.name) for alias in node.names)

    @property
    def functions(self) -> tuple[Function, ...]:
        """Every function and method, nested ones too."""
        return tuple(node for node in self.nodes if isinstance(node, Function))


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is nothing but a text: a docstring, of a field too."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def submodule_or_itself(module: str, name: str) -> str:
    """What `from module import name` names: `module.name` where that is one of our modules."""
    submodule = f"{module}.{name}"
    return submodule if submodule in _names() else module


@cache
def _names() -> frozenset[str]:
    return frozenset(source.name for source in sources())


@cache
def sources() -> tuple[Source, ...]:
    """Every module of both packages, by name."""
    found = []
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found.append(Source(name, path))
    return tuple(sorted(found, key=lambda source: source.name))
