"""Agents whose long names begin alike: their orders are told apart at the broker."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import attrs
import pytest
from desk_floor import NODE, Floor, buy, floor, heard, placed, run

from alluse_core.errors import KeyConflict
from alluse_core.model import BrokerStatus, NodeIdentity, OrderIdentity, OrderReport, OrderState
from alluse_core.orders.book import Book
from alluse_core.orders.identity import MAX_LENGTH, References
from alluse_core.testing.fakes import FakeBroker

US = attrs.evolve(NODE, agent="momentum-equities-us")
EU = attrs.evolve(NODE, agent="momentum-equities-eu")
FORMER = "AU-momentum_equ-"


def references(agent: str, prefix: str = "AU") -> References:
    return References(prefix, NodeIdentity("t", "n", agent, "i"))


def test_names_that_begin_alike_claim_none_of_the_others_orders() -> None:
    names = ["momentum-equities-us", "momentum-equities-eu", "momentum_equ", "momentum.equities.us"]
    names += ["momen", "momen-a", "momen_a", "momen.a", "momen/a"]
    made = {name: references(name) for name in names}
    for name, one in made.items():
        claimed = [each for each in names if one.claims(made[each].of("key"))]
        assert claimed == [name]


def test_a_name_that_fits_is_borne_as_it_is_and_has_no_former_one() -> None:
    for name in ("agent", "momentum.us_", "", "twelve_chars"):
        fits = references(name)
        assert fits.stem == f"AU-{name}-"
        assert fits.all_of("key") == (fits.of("key"),)
        assert not fits.former(fits.of("key"))


def test_a_reference_stays_as_long_as_it_may_be_and_printable() -> None:
    for name in ("momentum-equities-us", "a\nb", "Ünïcode", "x" * 500):
        reference = references(name, "prefix-too-long").of("key")
        assert len(reference) <= MAX_LENGTH
        assert reference.isascii()
        assert reference.isprintable()


def test_the_reference_of_a_key_stays_what_it_was() -> None:
    fits, cut = references("agent"), references("momentum-equities-us")
    assert fits.of("one") == "AU-agent-1182e0879c871f1457a"
    key = "7f807cadf8640b43dfc"
    assert cut.all_of("one") == (f"AU-momen~awu5xl-{key}", f"{FORMER}{key}")


def _of_old(desk: Floor, key: str, perm_id: int) -> OrderReport:
    """Return an open order of a key as the broker lists it, of the form that orders once bore."""
    _, former = desk.orders._desk.references.all_of(key)
    identity = OrderIdentity(former, perm_id, perm_id, desk.broker.client_id)
    return attrs.evolve(heard(desk), identity=identity)


def test_an_order_of_an_agent_whose_name_begins_alike_is_not_taken_for_ours(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        for name in ("us", "eu"):
            (tmp_path / name).mkdir()
        async with floor(tmp_path / "us", node=US) as us:
            ticket = await placed(us)
            report = heard(us)
        theirs = FakeBroker(us.broker._evidence, clock=us.clock, accounts=("DU1",))
        async with floor(tmp_path / "eu", node=EU, broker=theirs, clock=us.clock) as eu:
            theirs.foreign = [report]
            assert (await eu.orders.reconcile("fake")).external == 1
            assert eu.orders.all() == []
            assert not eu.orders._desk.references.claims(ticket.order_ref)
            await eu.orders.halt("test")
            await eu.settle()
            assert theirs.sent == [], "what is another's is not cancelled"

    run(scenario())


def test_an_order_of_the_name_that_several_agents_bore_is_told_as_anothers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, node=US) as desk:
            await placed(desk)
            perhaps = attrs.evolve(
                heard(desk), identity=OrderIdentity(f"{FORMER}0123456789abcdef012", 55, 55, 9)
            )
            desk.broker.foreign = [perhaps, attrs.evolve(perhaps, terms=None)]
            assert (await desk.orders.reconcile("fake")).external == 2
            assert [each.key for each in desk.orders.all()] == ["one"]
            assert desk.count("orphans_adopted") == 0
            await desk.orders.reconcile("fake")
            told = [each for each in caplog.messages if "counts as another's" in each]
            assert len(told) == 1, "once"
            assert perhaps.identity.order_ref in told[0]
        async with floor(tmp_path, node=US, broker=desk.broker, clock=desk.clock) as again:
            assert [each.kind for each in again.orders.differences] == ["external"] * 2

    run(scenario())


def test_an_order_of_the_former_name_that_the_journal_knows_stays_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with monkeypatch.context() as before:
            before.setattr(References, "of", lambda self, key: self.all_of(key)[-1])
            async with floor(tmp_path, node=US) as old:
                ticket = await placed(old)
                await placed(old, buy("gone"))
                gone = heard(old, "gone")
                old.broker.say(attrs.evolve(gone, status=BrokerStatus.CANCELED))
                await old.settle()
        assert ticket.order_ref.startswith(FORMER)
        async with floor(tmp_path, node=US, broker=old.broker, clock=old.clock) as desk:
            old.broker.orders.pop(gone.identity.order_ref)
            desk.orders._book.keep_ended = 0
            await placed(desk, buy("new"))
            assert heard(desk, "new").identity.order_ref.startswith("AU-momen~")
            assert (await desk.orders.reconcile("fake")).external == 0
            assert desk.orders.get("one").state is OrderState.ACCEPTED
            desk.broker.say(gone)
            assert desk.orders.get("gone").order_ref == gone.identity.order_ref
            await desk.orders.cancel("one")
            await desk.settle()
            assert desk.orders.get("one").state is OrderState.CANCELED

    run(scenario())


def test_a_key_whose_order_bears_the_former_name_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, node=US) as desk:
            await placed(desk)
            desk.broker.foreign = [_of_old(desk, "lost", 55)]
            assert (await desk.orders.reconcile("fake")).external == 1
            with pytest.raises(KeyConflict, match=FORMER):
                await desk.orders.submit(buy("lost"))
            await desk.orders.submit(buy("another"))

    run(scenario())


def test_the_names_of_orders_that_are_not_known_are_kept_within_bounds() -> None:
    book = Book()
    book._stray_references = OrderedDict.fromkeys(f"ref-{number}" for number in range(50_000))
    book.bear("ref-0")
    book.bear("newest")
    assert book.bears("ref-0"), "heard again"
    assert not book.bears("ref-1")
    assert len(book._stray_references) == 50_000
