"""Our parse of an object's fields gives what the library's own gives."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from typing import Any

import pytest
from alluse_ibkr.client import load, open_client
from alluse_ibkr.parsing import FieldParser
from facts_lab import both, module
from hypothesis import given, settings
from hypothesis import strategies as st

CLASSES = (
    "Contract",
    "ContractDetails",
    "Order",
    "OrderState",
    "Execution",
    "CommissionReport",
    "OrderStatus",
)
VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "-7", "2147483647", "1.7976931348623157E308", "0.0", "3.25"]),
    st.sampled_from([0, 1, 5, 0.0, 2.5, True, False]),
    st.sampled_from(["x", "1,5", "None"]),
)


def outcome(parse: Any, obj: Any) -> Any:
    """Return the parsed fields with their types, or the type of the error."""
    try:
        parse(obj)
    except (ValueError, OverflowError, TypeError) as error:
        return type(error)
    return {name: (type(value), value) for name, value in vars(obj).items()}


@both
@pytest.mark.parametrize("name", CLASSES)
def test_it_gives_what_the_librarys_parse_gives(library: str, name: str) -> None:
    async def loaded() -> Any:
        return module(library)

    lib = asyncio.run(loaded())
    kind = getattr(lib, name)
    theirs = lib.client.Decoder(None, 176).parse
    ours = FieldParser().parse
    names = [each.name for each in dataclasses.fields(kind)]

    @settings(max_examples=25, deadline=None)
    @given(st.dictionaries(st.sampled_from(names), VALUES))
    def same(changed: dict[str, Any]) -> None:
        one = kind()
        for field, value in changed.items():
            setattr(one, field, value)
        assert outcome(ours, copy.copy(one)) == outcome(theirs, copy.copy(one))

    same()


@both
def test_the_client_that_is_opened_parses_with_it(library: str) -> None:
    async def story() -> None:
        class Bare:
            pass

        client = open_client(load(library), Bare(), lambda _: None)
        assert isinstance(client.decoder.parse.__self__, FieldParser)

    asyncio.run(story())
