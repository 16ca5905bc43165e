"""The small faults that a sampler plants: each is one change of one place in one module's source.

Left out, for no test of behaviour should see them: annotations, docstrings, decorators, words for
a person (a string with a space), ``__all__``, and calls that only write to the log.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_UNSEEN = ("annotation", "returns", "decorator_list", "type_params", "bases")


@dataclass(frozen=True)
class Mutant:
    """The ``place``-th change, in the order of the source, that the module at ``path`` allows."""

    path: Path
    place: int
    kind: str
    line: int


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of one module."""
    tree = ast.parse(path.read_text())
    return [Mutant(path, place, kind, line) for place, (kind, line, _) in enumerate(_changes(tree))]


def plain(path: Path) -> str:
    """The module as it is, in the spelling that mutated sources have."""
    return ast.unparse(ast.parse(path.read_text())) + "\n"


def mutated(mutant: Mutant) -> str:
    """The module's source with the one change made."""
    tree = ast.parse(mutant.path.read_text())
    for place, (_, _, change) in enumerate(_changes(tree)):
        if place == mutant.place:
            change()
            break
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def difference(mutant: Mutant) -> str:
    """What was changed, as a diff that names the line of the real source."""
    before, after = plain(mutant.path).splitlines(), mutated(mutant).splitlines()
    name = f"{mutant.path.name}:{mutant.line} ({mutant.kind})"
    return "\n".join(difflib.unified_diff(before, after, name, "", "", "", n=2, lineterm=""))


_Change = tuple[str, int, Callable[[], None]]


def _changes(node: ast.AST) -> Iterator[_Change]:
    if _is_unseen(node):
        return
    for field, value in ast.iter_fields(node):
        if field in _UNSEEN or (field == "body" and _is_guard(node)):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST):
                continue
            yield from _of(child, node, field, index)
            yield from _changes(child)


def _of(node: ast.AST, parent: ast.AST, field: str, index: int) -> Iterator[_Change]:
    """The changes of one node itself, its children apart."""

    def put(other: ast.AST) -> Callable[[], None]:
        def change() -> None:
            held = getattr(parent, field)
            if isinstance(held, list):
                held[index] = other
            else:
                setattr(parent, field, other)

        return change

    line = getattr(node, "lineno", 0)
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in _COMPARED:
            swapped = [_COMPARED[type(first)](), *node.ops[1:]]
            yield "comparison", line, lambda: setattr(node, "ops", swapped)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "boolean", line, lambda: setattr(node, "op", other)
        case ast.UnaryOp(op=ast.Not()):
            yield "negation", line, put(node.operand)
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _COMPUTED:
            computed = _COMPUTED[type(node.op)]()
            yield "arithmetic", line, lambda: setattr(node, "op", computed)
        case ast.Constant(value=bool(value)):
            yield "constant", line, put(ast.Constant(not value))
        case ast.Constant(value=int(value)):
            yield "constant", line, put(ast.Constant(value + 1))
        case ast.Constant(value=str(value)) if " " not in value and not _is_text(parent):
            yield "constant", line, put(ast.Constant(value + "X"))
        # To its caller's truth test a false value and None are one; its constant is mutated.
        case ast.Return(value=ast.expr() as value) if not _is_false(value):
            yield "return", line, put(ast.Return(ast.Constant(None)))
        case ast.Raise():
            yield "no raise", line, put(ast.Pass())
        case ast.Expr(value=ast.Call() | ast.Await()) if not _is_unseen(node):
            yield "no call", line, put(ast.Pass())


def _is_text(parent: ast.AST) -> bool:
    return isinstance(parent, ast.Expr | ast.JoinedStr | ast.FormattedValue)


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and not value.value


def _is_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_unseen(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name in ("_log", "log", "_logger", "logger")
    return False
