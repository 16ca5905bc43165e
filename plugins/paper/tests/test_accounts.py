"""What the accounts hold."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal as D

import pytest
from alluse_paper.accounts import Accounts
from alluse_paper.commissions import CommissionSchedule
from alluse_paper.margin import MarginRates

from alluse_core.errors import UsageError
from alluse_core.model.instrument import Instrument, Side

IBM = Instrument.stock("IBM")
EURUSD = Instrument.forex("EURUSD")
USDJPY = Instrument.forex("USDJPY")
FUTURE = Instrument.future("ES", date(2026, 3, 20), "CME", multiplier=50)
CALL = Instrument.option("IBM", date(2026, 3, 20), 100, "C")
SONY = Instrument.stock("6758", "TSE", "JPY")


def accounts(**marks: float) -> Accounts:
    named = {each.symbol: each for each in (IBM, FUTURE, SONY)}
    prices = {named[name]: price for name, price in marks.items() if name in named}
    prices[EURUSD] = marks.get("EURUSD", math.nan)
    prices[USDJPY] = marks.get("USDJPY", math.nan)
    prices[CALL] = marks.get("CALL", math.nan)
    made = Accounts(("DU1",), lambda each: prices.get(each, math.nan), deposit=D(100_000))
    made.rate_from((EURUSD, USDJPY))
    return made


@pytest.mark.parametrize(
    ("trades", "quantity", "average", "realized"),
    [
        ([("BUY", 100, "10"), ("BUY", 100, "12")], 200, "11", "0"),
        ([("BUY", 100, "10"), ("SELL", 40, "12")], 60, "10", "80"),
        ([("BUY", 100, "10"), ("SELL", 100, "9")], 0, "0", "-100"),
        ([("BUY", 100, "10"), ("SELL", 150, "12")], -50, "12", "200"),
        ([("SELL", 100, "10"), ("BUY", 30, "9")], -70, "10", "30"),
        ([("SELL", 100, "10"), ("BUY", 160, "9")], 60, "9", "100"),
        ([("BUY", 3, "10"), ("BUY", 4, "11"), ("SELL", 7, "11")], 0, "0", "3"),
    ],
)
def test_a_position_has_an_average_cost_and_realises_what_it_closes(
    trades: list[tuple[str, int, str]], quantity: int, average: str, realized: str
) -> None:
    books = accounts()
    for side, size, price in trades:
        books.trade("DU1", IBM, Side(side), D(size), D(price), D(0))
    (holding,) = books.holdings("DU1")
    assert holding.quantity == quantity
    assert holding.average_cost == D(average)
    assert holding.realized == D(realized)


def test_shares_move_cash_and_are_worth_their_mark() -> None:
    books = accounts(IBM=101.0)
    books.trade("DU1", IBM, Side.BUY, D(100), D("100.00"), D("1.00"))
    figures = books.figures("DU1")
    assert figures.cash == D("89999.00")
    assert figures.net_liquidation == D("100099.0")
    assert figures.unrealized == D("100")
    assert figures.commissions == D("1.00")
    assert figures.initial_margin == D("5050")
    assert figures.maintenance_margin == D("2525")
    assert figures.available_funds == D("95049")
    assert figures.buying_power == D("190098")


def test_a_short_position_asks_for_more_maintenance_than_a_long_one() -> None:
    books = accounts(IBM=100.0)
    books.trade("DU1", IBM, Side.SELL, D(100), D(100), D(0))
    figures = books.figures("DU1")
    assert figures.cash == D(110_000)
    assert figures.net_liquidation == D(100_000)
    assert figures.maintenance_margin == D(3000)


def test_a_future_moves_cash_only_when_it_realises() -> None:
    books = accounts(ES=5610.0)
    books.trade("DU1", FUTURE, Side.BUY, D(2), D(5600), D(0))
    assert books.figures("DU1").cash == D(100_000)
    assert books.figures("DU1").net_liquidation == D(101_000)
    books.trade("DU1", FUTURE, Side.SELL, D(2), D(5610), D(0))
    assert books.figures("DU1").cash == D(101_000)


def test_a_currency_trade_moves_both_currencies_and_is_not_counted_twice() -> None:
    books = accounts(EURUSD=1.25)
    books.trade("DU1", EURUSD, Side.BUY, D(10_000), D("1.20"), D(2))
    assert books.cash("DU1") == {"USD": D("87998.00"), "EUR": D(10_000)}
    figures = books.figures("DU1")
    assert figures.net_liquidation == D("100498.00")
    assert figures.unrealized == D("500")


def test_a_missing_price_or_rate_makes_a_figure_unknown_not_zero() -> None:
    books = accounts()
    books.trade("DU1", IBM, Side.BUY, D(1), D(100), D(0))
    figures = books.figures("DU1")
    assert figures.cash == D(99_900)
    assert figures.net_liquidation is None
    assert figures.available_funds is None
    foreign = accounts(**{"6758": 2000.0})
    foreign.trade("DU1", SONY, Side.BUY, D(1), D(2000), D(0))
    assert foreign.figures("DU1").net_liquidation is None


def test_other_currencies_are_converted_by_the_pairs_marks() -> None:
    books = accounts(USDJPY=160.0, **{"6758": 2400.0})
    books.trade("DU1", SONY, Side.BUY, D(10), D(1600), D(0))
    assert books.rate("JPY") == D(1) / D(160)
    assert books.figures("DU1").net_liquidation == D(100_050)


def test_a_long_option_is_paid_in_full_and_a_short_one_ties_up_part_of_the_strike() -> None:
    rates = MarginRates()
    assert rates.initial(CALL, D(1), D(5)) == D(500)
    assert rates.initial(CALL, D(-1), D(5)) == D(500) + D(2000)


def test_an_account_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'DU1'"):
        accounts().figures("DU2")


@pytest.mark.parametrize(
    ("instrument", "quantity", "price", "commission"),
    [
        (IBM, 100, "100", "1.0000"),
        (IBM, 1000, "100", "5.0000"),
        (IBM, 1, "10", "0.1000"),
        (CALL, 1, "5", "1.0000"),
        (CALL, 10, "5", "6.5000"),
        (FUTURE, 2, "5600", "4.5000"),
        (EURUSD, 20_000, "1.25", "2.0000"),
        (EURUSD, 1_000_000, "1.25", "25.0000"),
    ],
)
def test_the_commission_follows_the_schedule(
    instrument: Instrument, quantity: int, price: str, commission: str
) -> None:
    schedule = CommissionSchedule()
    assert schedule.total(instrument, D(quantity), D(quantity) * D(price)) == D(commission)
