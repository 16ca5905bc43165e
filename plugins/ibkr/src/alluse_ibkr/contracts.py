"""Instruments as contracts, and contracts as instruments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from alluse_core.errors import AmbiguousInstrument, NotSent
from alluse_core.model import (
    Candidate,
    ComboLeg,
    Instrument,
    InstrumentDefinition,
    Right,
    SecurityType,
)
from alluse_ibkr import contract_file
from alluse_ibkr.client import Library
from alluse_ibkr.wireformat import day_in, exact, exact_or_zero, plain

_HOME = {SecurityType.STOCK: "SMART", SecurityType.OPTION: "SMART", SecurityType.FOREX: "IDEALPRO"}


class ContractBook:
    """Keeps which contract number belongs to which instrument, for one login.

    ``path`` holds the numbers from run to run, so that a position or a fill of yesterday's is
    named as it was when it was traded. Where the broker gives an instrument another number or
    another multiplier than it had, new risk in it is refused until a person has looked:
    ``changed`` is told why. What is proven to reduce a position is still sent, under the number
    that the position is held by.
    """

    def __init__(
        self,
        library: Library,
        path: Path | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._library = library
        self._path = path
        self._today = today
        self._changed = changed
        self._definitions: dict[Instrument, InstrumentDefinition] = {}
        self._made: dict[Instrument, Any] = {}
        self._entries = contract_file.read(path, today()) if path is not None else {}
        self._listings = contract_file.read_listings(path, today()) if path is not None else {}
        self._listed: dict[Instrument, int] = {}
        self._by_number = {number: entry.instrument for number, entry in self._entries.items()}
        self._numbers = {instrument: number for number, instrument in self._by_number.items()}
        self._frozen: dict[Instrument, str] = {}
        self._held: dict[Instrument, int] = {}

    def definition(self, instrument: Instrument) -> InstrumentDefinition | None:
        """Return what is known of an instrument already."""
        return self._definitions.get(instrument)

    def keep(self, definition: InstrumentDefinition) -> None:
        """Remember an answer; the first instrument of a number is what its reports are about."""
        self._definitions[definition.instrument] = definition
        self.learn(int(definition.broker_id), definition.instrument)
        self._compare(definition)

    def _compare(self, definition: InstrumentDefinition) -> None:
        """Freeze where money per point is not what it was, or not what the instrument says."""
        told, instrument = definition.multiplier, definition.instrument
        entry = self._entries.get(int(definition.broker_id))
        if told is None or entry is None or entry.instrument is not instrument:
            return
        # A future's multiplier that was left out is 1 here, and is not compared.
        named = instrument.multiplier if instrument.multiplier != 1 else None
        before = entry.multiplier or named
        if before is not None and before != told:
            self._freeze(instrument, f"had a multiplier of {before:f} and now has {told:f}")
        elif entry.multiplier is None:
            self._entries[int(definition.broker_id)] = attrs.evolve(entry, multiplier=told)
            self._write()

    def learn_held(self, contract: Any, instrument: Instrument) -> None:
        """Remember under which number a position is held, and compare its multiplier."""
        self._held[instrument] = contract.conId
        told = exact(contract.multiplier)
        derived = instrument.security_type in (SecurityType.OPTION, SecurityType.FUTURE)
        if derived and told and instrument.multiplier not in (1, told):
            self._freeze(
                instrument,
                f"had a multiplier of {instrument.multiplier:f} and is held with {told:f}",
            )

    def contract_held(self, instrument: Instrument) -> Any:
        """Return the contract to send for an exit: that of the position, where it is frozen."""
        contract = self.contract(instrument)
        if instrument in self._frozen and instrument in self._held:
            # The terms may be the old ones: the number alone says which contract is meant.
            return self._library.contract(
                conId=self._held[instrument],
                exchange=instrument.exchange,
                secType=instrument.security_type.value,
                currency=instrument.currency,
                symbol=instrument.symbol,
            )
        return contract

    def learn(self, number: int, instrument: Instrument) -> None:
        """Remember the number that the broker gave for an instrument that we named."""
        if not number:
            return
        before = self._numbers.get(instrument)
        if before is not None and before != number:
            self._freeze(instrument, f"was contract {before} and now is {number} to the broker")
            return
        today = self._today()
        entry = self._entries.get(number)
        if entry is not None and (entry.instrument is not instrument or entry.confirmed == today):
            return
        named = self._by_number.setdefault(number, instrument)
        if named is instrument:
            self._numbers[instrument] = number
            known = entry.multiplier if entry is not None else None
            self._entries[number] = contract_file.Entry(instrument, today, known)
            self._write()

    def _write(self) -> None:
        if self._path is not None:
            contract_file.write(self._path, self._entries, self._listings)

    def listing(self, name: str) -> tuple[Instrument, ...] | None:
        """Return the options of a listing told today, with their numbers known; None: ask."""
        listing = self._listings.get(name)
        if listing is None or listing.confirmed != self._today():
            return None
        options = []
        for number in listing.numbers:
            option = self._by_number.get(number)
            if option is None or self._numbers.get(option) != number:
                return None
            options.append(option)
        self._listed.update(zip(options, listing.numbers, strict=True))
        return tuple(options)

    def keep_listing(self, name: str, definitions: Sequence[InstrumentDefinition]) -> None:
        """Remember all options of one class and expiry, and write the file once.

        Raises AmbiguousInstrument where one of them is known as another contract: options of two
        classes with the same terms have the same name here.
        """
        numbers = {each.instrument: int(each.broker_id) for each in definitions}
        for option, number in numbers.items():
            known = self._numbers.get(option)
            if known not in (None, number):
                raise AmbiguousInstrument(
                    f"{option.id} is contract {number} of {name}, and contract {known} as well",
                    (Candidate(option, str(known)), Candidate(option, str(number))),
                    hint="two classes list the same terms: trade them from separate state folders",
                )
        today = self._today()
        for each in definitions:
            number = numbers[each.instrument]
            self._definitions[each.instrument] = each
            self._by_number[number] = each.instrument
            self._numbers[each.instrument] = number
            self._entries[number] = contract_file.Entry(each.instrument, today, each.multiplier)
        self._listings = {k: v for k, v in self._listings.items() if v.confirmed == today}
        self._listings[name] = contract_file.Listing(today, tuple(numbers.values()))
        self._write()

    def _freeze(self, instrument: Instrument, change: str) -> None:
        if instrument not in self._frozen:
            self._frozen[instrument] = f"{instrument.id} {change}"
            self._changed(
                self._frozen[instrument]
                + "; new risk in it is refused, what reduces a position is sent"
            )

    def check_tradable(self, instrument: Instrument) -> None:
        """Raise NotSent where new risk is refused, of an instrument or of a leg."""
        for each in (instrument, *(leg.instrument for leg in instrument.legs)):
            if each in self._frozen:
                raise NotSent(
                    self._frozen[each],
                    hint="a split, a merger or another listing may be behind it: look at what is "
                    f"held, then remove the old number from {self._path or 'the cache'} and "
                    "restart",
                )

    def contract(self, instrument: Instrument) -> Any:
        """Return the contract to send.

        Raises NotSent for a combo whose legs are not defined, and for a name that would break the
        message apart.
        """
        definition = self._definitions.get(instrument)
        number = int(definition.broker_id) if definition else self._listed.get(instrument, 0)
        contract = self._made.get(instrument)
        if contract is None or contract.conId != number:
            contract = self._made[instrument] = self._make(instrument, number)
        if instrument.legs:
            contract.comboLegs = [self._leg(leg) for leg in instrument.legs]
        return contract

    def _make(self, instrument: Instrument, number: int) -> Any:
        for text in (instrument.symbol, instrument.exchange, instrument.currency):
            plain(text)
        multiplier = instrument.multiplier
        return self._library.contract(
            conId=number,
            symbol=instrument.symbol,
            secType=instrument.security_type.value,
            lastTradeDateOrContractMonth=f"{instrument.expiry:%Y%m%d}" if instrument.expiry else "",
            strike=float(instrument.strike or 0),
            right=instrument.right.value if instrument.right else "",
            multiplier="" if multiplier == 1 else format(multiplier.normalize(), "f"),
            exchange=instrument.exchange,
            currency=instrument.currency,
        )

    def _leg(self, leg: ComboLeg) -> Any:
        definition = self._definitions.get(leg.instrument)
        if definition is None:
            raise NotSent(
                f"the leg {leg.instrument} has no contract number yet",
                hint="define each leg of a combo before it is traded",
            )
        return self._library.combo_leg(
            conId=int(definition.broker_id),
            ratio=leg.ratio,
            action=leg.side.value,
            exchange=leg.instrument.exchange,
        )

    def instrument(self, contract: Any) -> Instrument | None:
        """Return the instrument of a contract that the broker named; None for kinds unknown here.

        Positions and executions name the exchange of the listing or of the fill; unless the
        number is known, stocks and options are taken to be SMART's.
        """
        known = self._by_number.get(contract.conId)
        if known is not None:
            return known
        made = self.describe(contract)
        if made is not None and contract.conId:
            self._by_number[contract.conId] = made
        return made

    @staticmethod
    def describe(contract: Any) -> Instrument | None:
        """Return the instrument of a contract by its terms alone."""
        try:
            kind = SecurityType(contract.secType)
        except ValueError:
            return None
        if kind is SecurityType.COMBO:
            return None
        expiry = contract.lastTradeDateOrContractMonth[:8]
        derived = kind in (SecurityType.OPTION, SecurityType.FUTURE)
        right = contract.right[:1]
        return Instrument(
            symbol=contract.symbol,
            security_type=kind,
            exchange=_HOME.get(kind, contract.exchange or contract.primaryExchange),
            currency=contract.currency,
            expiry=day_in(expiry) if derived else None,
            strike=exact(contract.strike) if kind is SecurityType.OPTION else None,
            right=Right(right) if kind is SecurityType.OPTION and right in ("C", "P") else None,
            multiplier=(exact(contract.multiplier) or Decimal(1)) if derived else Decimal(1),
        )


def candidates(book: ContractBook, details: Sequence[Any]) -> tuple[Candidate, ...]:
    """Return each contract that fits, as it is to be written."""
    found = []
    for detail in details:
        contract = detail.contract
        instrument = book.describe(contract)
        if instrument is not None:
            found.append(
                Candidate(
                    instrument,
                    str(contract.conId),
                    contract.localSymbol,
                    contract.primaryExchange,
                    contract.tradingClass,
                )
            )
    return tuple(found)


def rule_number(details: Any, exchange: str) -> int | None:
    """Return the market rule that holds on ``exchange``; None where the broker named none."""
    exchanges = details.validExchanges.split(",")
    rules = details.marketRuleIds.split(",")
    by_exchange = dict(zip(exchanges, rules, strict=False))
    rule = by_exchange.get(exchange) or (rules[0] if rules else "")
    return int(rule) if rule.isdigit() else None


def define(
    instrument: Instrument, details: Any, increments: Sequence[Any] | None
) -> InstrumentDefinition:
    """Return the definition of an instrument from the broker's details and market rule."""
    contract = details.contract
    min_size = exact(details.minSize)
    size_increment = exact(details.sizeIncrement)
    return InstrumentDefinition(
        instrument=instrument,
        broker_id=str(contract.conId),
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
        primary_exchange=contract.primaryExchange,
        long_name=details.longName,
        min_tick=exact(details.minTick) or Decimal("0.01"),
        price_increments=tuple(
            (exact_or_zero(step.lowEdge), exact_or_zero(step.increment))
            for step in increments or ()
        ),
        min_size=min_size if min_size else Decimal(1),
        size_increment=size_increment if size_increment else Decimal(1),
        time_zone=details.timeZoneId,
        liquid_hours=liquid_hours(details.liquidHours, details.timeZoneId),
        multiplier=exact(contract.multiplier),
    )


def liquid_hours(text: str, zone: str) -> tuple[tuple[datetime, datetime], ...]:
    """Read ``20260105:0930-20260105:1600;20260106:CLOSED``; empty where the zone is unknown."""
    try:
        tz = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ()
    spans = []
    for part in text.split(";"):
        begin, dash, end = part.partition("-")
        if dash and "CLOSED" not in part:
            spans.append((_moment(begin, tz), _moment(end, tz)))
    return tuple(spans)


def _moment(text: str, tz: ZoneInfo) -> datetime:
    return datetime.strptime(text, "%Y%m%d:%H%M").replace(tzinfo=tz).astimezone(UTC)
