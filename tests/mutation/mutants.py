"""The small faults that a sampler plants: each is one change of one place in one module's source.

Left out, for no test of behaviour should see them: annotations, docstrings, decorators, words for
a person (a string with a space), ``__all__``, and calls that only write to the log.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType

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
    """The ``place``-th change, in the order of the source, that the module at ``path`` allows.

    ``lines`` are those of its statement (of a compound one, of its head alone). ``at_import`` is
    true outside a function's body: that runs while the module is imported.
    """

    path: Path
    place: int
    kind: str
    line: int
    lines: range
    at_import: bool

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line} {self.kind}"


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of one module."""
    return [
        Mutant(path, place, kind, line, where.lines, where.at_import)
        for place, (kind, line, where, _) in enumerate(_changes_of(path)[1])
    ]


def plain(path: Path) -> str:
    """The module as it is, in the spelling that mutated sources have."""
    return ast.unparse(ast.parse(path.read_text())) + "\n"


def mutated(mutant: Mutant) -> str:
    """The module's source with the one change made."""
    return ast.unparse(_tree(mutant)) + "\n"


def compiled(mutant: Mutant) -> CodeType:
    """The module's code with the one change made, its lines numbered as in the source."""
    code: CodeType = compile(_tree(mutant), str(mutant.path), "exec", dont_inherit=True)
    return code


def _tree(mutant: Mutant) -> ast.Module:
    tree, changes = _changes_of(mutant.path)
    *_, change = changes[mutant.place]
    change()
    return ast.fix_missing_locations(tree)


def difference(mutant: Mutant) -> str:
    """What was changed, as a diff."""
    before, after = plain(mutant.path).splitlines(), mutated(mutant).splitlines()
    return "\n".join(difflib.unified_diff(before, after, str(mutant), "", "", "", 2, ""))


def was_and_is(mutant: Mutant) -> tuple[str, str]:
    """The changed text before and after, without its surroundings."""
    lines = difference(mutant).splitlines()[2:]
    was, now = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return was, now


@dataclass(frozen=True)
class _Where:
    lines: range
    at_import: bool = True


_Change = tuple[str, int, _Where, Callable[[], None]]


def _changes_of(path: Path) -> tuple[ast.Module, list[_Change]]:
    tree = ast.parse(path.read_text())
    return tree, list(_changes(tree, _Where(range(0))))


def _changes(node: ast.AST, where: _Where) -> Iterator[_Change]:
    if _is_unseen(node):
        return
    for field, value in ast.iter_fields(node):
        if field in _UNSEEN or (field == "body" and _is_guard(node)):
            continue
        inside = field == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST):
                continue
            there = replace(where, lines=_lines(child) or where.lines)
            if inside:
                there = replace(there, at_import=False)
            for kind, line, change in _of(child, node, field, index):
                yield kind, line, there, change
            yield from _changes(child, there)


def _lines(node: ast.AST) -> range | None:
    """The lines of a statement, of a compound one its head's; None for what is part of one."""
    match node:
        case ast.match_case(pattern=pattern, guard=guard):
            return range(pattern.lineno, (guard or pattern).end_lineno + 1)
        case ast.Match(subject=subject):
            return range(node.lineno, subject.end_lineno + 1)
        case ast.stmt() | ast.ExceptHandler():
            body = getattr(node, "body", None)
            end = body[0].lineno if body else node.end_lineno + 1
            return range(node.lineno, max(end, node.lineno + 1))
    return None


def _of(
    node: ast.AST, parent: ast.AST, field: str, index: int
) -> Iterator[tuple[str, int, Callable[[], None]]]:
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
