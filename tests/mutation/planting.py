"""The two ways in which a mutant gets into a process: with its module, or into functions at work.

The second is for what is inside a function: everything is imported and collected already, and the
function objects, whoever holds them, run the changed code from then on.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from mutants import Mutant, compiled

# A function is found by its file, its qualified name and the line that it begins in.
_Place = tuple[str, str, int]
Functions = Mapping[_Place, list[FunctionType]]


class Planted(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Gives the mutant's module its changed code; all other modules are found as ever."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        self._name, self._mutant = name, mutant

    def find_spec(self, fullname: str, *_: object) -> Any:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._mutant.path, loader=self)

    def get_source(self, fullname: str) -> str:
        return self._mutant.path.read_text()

    def get_code(self, fullname: str) -> CodeType:
        return compiled(self._mutant)


def functions_of(paths: Iterator[Path]) -> Functions:
    """Every function object of these sources that is alive, closures and decorated ones too."""
    files = {str(path) for path in paths}
    found = defaultdict(list)
    for held in gc.get_objects():
        if type(held) is FunctionType and held.__code__.co_filename in files:
            found[_place(held.__code__)].append(held)
    return found


def plant_in(functions: Functions, mutant: Mutant) -> bool:
    """Change the code of the living functions of the mutant's module.

    False, where that cannot be done for certain: nothing would change, two functions begin in the
    same place, or the mutant uses other names of the function around it. Then some may be changed
    already: the process is spent.
    """
    codes = defaultdict(list)
    for code in _inside(compiled(mutant)):
        codes[_place(code)].append(code)
    changed = 0
    for place, alive in functions.items():
        if place[0] != str(mutant.path):
            continue
        if len(codes[place]) != 1:
            return False
        (code,) = codes[place]
        for function in alive:
            if len(function.__code__.co_freevars) != len(code.co_freevars):
                return False
            changed += function.__code__ != code
            function.__code__ = code
    return changed > 0


def _place(code: CodeType) -> _Place:
    return os.fspath(code.co_filename), code.co_qualname, code.co_firstlineno


def _inside(code: CodeType) -> Iterator[CodeType]:
    for held in code.co_consts:
        if isinstance(held, CodeType):
            yield held
            yield from _inside(held)
