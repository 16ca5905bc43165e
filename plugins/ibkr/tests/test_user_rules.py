"""A rule of ``[[orders.errors]]`` decides what the adapter does of its own accord with a code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from facts_lab import message
from ibkr_lab import Lab, Peer, connected, frame, scripted, until

from alluse_core.errors import SettingsError
from alluse_core.model import BrokerStatus, OrderReport
from alluse_core.orders.user_rules import classifier
from alluse_core.settings import ErrorRule, Settings

RULES = """
[[orders.errors]]
codes = [201]
error_class = "held"
text = "by hand"
reason = "our venue approves by hand"

[[orders.errors]]
codes = [201]
error_class = "held"
text = "at once"
states = ["SUBMITTED"]
reason = "our venue approves what is new"

[[orders.errors]]
codes = [201]
error_class = "held"
text = "later"
states = ["ACCEPTED"]
reason = "our venue looks again at what works"

[[orders.errors]]
codes = [436]
error_class = "definite_reject"
certain = true
reason = "asked the desk: the order is gone"
"""
HELD, REJECTED = BrokerStatus.HELD, BrokerStatus.REJECTED


def rules(folder: Path, text: str) -> Sequence[ErrorRule]:
    """Return the rules of a settings file that holds ``text``."""
    path = folder / "alluse.toml"
    path.write_text(text, "utf-8")
    return Settings.load(path).orders.errors


@pytest.mark.parametrize(
    ("before", "code", "text", "without", "with_rules"),
    [
        ("", 201, "approved by hand", REJECTED, HELD),
        ("", 201, "margin", REJECTED, REJECTED),
        ("", 201, "at once", REJECTED, HELD),
        ("Submitted", 201, "at once", REJECTED, REJECTED),
        ("", 201, "later", REJECTED, REJECTED),
        ("Submitted", 201, "later", REJECTED, HELD),
        ("", 436, "allocation", HELD, REJECTED),
    ],
)
def test_a_users_rule_decides_whether_inactive_is_the_end_of_an_order(
    before: str,
    code: int,
    text: str,
    without: BrokerStatus,
    with_rules: BrokerStatus,
    tmp_path: Path,
) -> None:
    async def orders(peer: Peer) -> None:
        await peer.hello()
        peer.send(frame(176, "20260105 14:30:00 UTC"))
        start = await peer.message()
        peer.send(frame(15, 1, "DU1,"), frame(9, 1, 100))
        if start[2] == "18":
            await peer.serve()
        number = (await peer.message())[1]
        said = [frame(3, number, before, 0, 1, 0, 77, 0, 0, 17, "", 0)] if before else []
        said.append(frame(4, 2, number, code, text, ""))
        said.append(frame(3, number, "Inactive", 0, 1, 0, 77, 0, 0, 17, "", 0))
        peer.send(*said)
        await peer.serve()

    async def ends_as(given: Sequence[ErrorRule]) -> BrokerStatus:
        async with scripted(orders) as port:
            lab = Lab(port=port, errors=given)
            async with connected(lab) as broker:
                broker.place([message(100, "DU1")])
                reports = 2 if before else 1
                await until(lambda: len(lab.of(OrderReport)) == reports, "the reports")
                status: BrokerStatus = lab.of(OrderReport)[-1].status
                return status

    assert asyncio.run(ends_as(())) is without
    assert asyncio.run(ends_as(rules(tmp_path, RULES))) is with_rules


def test_no_rule_makes_the_adapter_take_a_code_for_an_end_that_proves_none(tmp_path: Path) -> None:
    given = rules(
        tmp_path,
        '[[orders.errors]]\ncodes = [10147]\nerror_class = "definite_reject"\ncertain = true\n'
        'reason = "wishful"\n',
    )
    with pytest.raises(SettingsError, match="10147 cannot end an order"):
        classifier(given)
