"""What the facts of an examination mean: each function turns facts into one check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import attrs

from alluse_core.model import AccountMode, DataType, ErrorClass
from alluse_core.ports import Check, Verdict
from alluse_ibkr import codes
from alluse_ibkr.accounts import account_mode
from alluse_ibkr.clock_skew import Bound

OK, WARN, FAIL, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN

PAPER_PORTS, LIVE_PORTS = (4002, 7497), (4001, 7496)
SKEW_WARNS, SKEW_FAILS = 1.0, 30.0
"""Seconds by which the clocks may differ: orders of the day and GTD times go by the broker's."""

_ZONE_ERROR = 120.0
_LINK_BROKEN = frozenset({codes.UPLINK_LOST, codes.UPLINK_BROKEN})
_READ_ONLY = "read-only mode"


@attrs.frozen
class Said:
    """One coded message; ``number`` is what it is about, -1 nothing.

    ``meaning`` is what the table of error codes says of it.
    """

    number: int
    code: int
    text: str
    meaning: ErrorClass

    def __str__(self) -> str:
        return f"{self.text} (code {self.code})"


@attrs.frozen
class Terms:
    """What an order asks for, of which TWS must not change anything."""

    time_in_force: str
    outside_rth: bool
    account: str
    quantity: str
    limit_price: str


@attrs.frozen
class Preview:
    """The answer to a what-if order: what came back, or why nothing did."""

    sent: Terms
    echo: Terms | None
    warning: str
    said: tuple[Said, ...]
    went_live: bool = False


@attrs.frozen
class DataSeen:
    """What a request for market data brought."""

    data_type: DataType | None
    ticked: bool
    said: tuple[Said, ...]


def server_version(version: int, highest: int) -> Check:
    """Say which version is spoken; an old one lacks fields that orders of today have."""
    detail = f"{version}; the client library speaks up to {highest}"
    if version < highest:
        hint = "update TWS or IB Gateway: newer fields are left out of what is sent"
        return Check("server version", WARN, detail, hint)
    return Check("server version", OK, detail)


def account(accounts: Sequence[str], wanted: str, live_account: str, port: int) -> Check:
    """Say what orders would trade: the account's prefix decides paper or live, not the port."""
    detail = ", ".join(f"{each} ({account_mode(each).value})" for each in accounts)
    if wanted and wanted not in accounts:
        hint = "correct the account, or log in with the user who may trade it"
        return Check("account", FAIL, f"{wanted} is not among {detail}", hint)
    mine = (wanted,) if wanted else tuple(accounts)
    modes = {account_mode(each) for each in mine}
    live = [each for each in mine if account_mode(each) is not AccountMode.PAPER]
    if AccountMode.UNKNOWN in modes:
        hint = "its name begins with neither D (paper) nor U, F or I (live): ask IBKR"
        return Check("account", UNKNOWN, detail, hint)
    if port in PAPER_PORTS and live:
        hint = f"port {port} is the one of paper accounts, and {live[0]} is live: real money"
        return Check("account", WARN, detail, hint)
    if port in LIVE_PORTS and not live:
        return Check("account", WARN, detail, f"port {port} is the one of live accounts")
    if any(each != live_account for each in live):
        hint = "orders are denied until [orders] live_account repeats the account"
        return Check("account", WARN, detail, hint)
    if len(mine) > 1:
        return Check("account", WARN, detail, "name one: account = ... in the broker's table")
    return Check("account", OK, detail)


def restart_windows(accounts: Sequence[str], wanted: str, region: str, restart_at: str) -> Check:
    """Say whether new risk is gated while IBKR or the terminal restarts; live money needs it."""
    named = " and ".join(each for each in (region, restart_at and f"TWS at {restart_at}") if each)
    if named:
        return Check("restart windows", OK, f"new risk is gated for {named}")
    mine = (wanted,) if wanted else tuple(accounts)
    live = [each for each in mine if account_mode(each) is not AccountMode.PAPER]
    if live:
        detail = f"none is set, and {live[0]} is not a paper account"
        hint = "set region and restart_at in the broker's table: orders would run into the restart"
        return Check("restart windows", WARN, detail, hint)
    return Check("restart windows", OK, "none is set; the account is for paper")


def clock(bound: Bound | None) -> Check:
    """Say how far the clocks are apart, as far as whole seconds can tell."""
    if bound is None:
        return Check("clock", UNKNOWN, "the gateway did not answer a question for the time")
    skew = bound.proven
    if skew is None:
        return Check("clock", OK, f"no skew beyond +-{bound.resolution:.2f} s is seen")
    detail = f"the gateway's clock is {skew:+.1f} s from ours, +-{bound.resolution:.2f} s"
    hint = "let both machines follow NTP"
    least = min(abs(bound.low), abs(bound.high))
    if least >= SKEW_FAILS:
        return Check("clock", FAIL, detail, hint)
    return Check("clock", WARN if least >= SKEW_WARNS else OK, detail, hint)


def time_zone(greeting: str, now: datetime, skew: float) -> Check:
    """Say whether the zone that the gateway writes its times in is one that can be read."""
    day, _, rest = greeting.partition(" ")
    moment, _, zone = rest.partition(" ")
    hint = "set an Area/City zone, or UTC, at the gateway's login"
    try:
        local = datetime.strptime(f"{day} {moment}", "%Y%m%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return Check("time zone", UNKNOWN, f"the gateway greeted with {greeting!r}")
    if not zone:
        return Check("time zone", UNKNOWN, "the gateway names no time zone", hint)
    try:
        told = local.replace(tzinfo=ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        detail = f"{zone!r} is no zone that is known here: times of bars and fills cannot be placed"
        return Check("time zone", FAIL, detail, hint)
    off = (told - now).total_seconds() - skew
    if abs(off) > _ZONE_ERROR:
        detail = f"its clock reads {moment} in {zone}, which is {off / 3600:+.1f} h from now"
        return Check("time zone", FAIL, detail, hint)
    return Check("time zone", OK, zone)


def order_ids(next_id: int, used: int | None, client_id: int) -> Check:
    """Compare the broker's next order id with the highest that the journal has seen."""
    if used is None:
        detail = f"next is {next_id}; the journal cannot be read to compare"
        return Check("order ids", UNKNOWN, detail, "see 'alluse journal verify'")
    if next_id > used:
        detail = f"next is {next_id}, the journal's highest of client id {client_id} is {used}"
        return Check("order ids", OK, detail if used else f"next is {next_id}, none used yet")
    detail = f"next is {next_id}, but {used} was used: the gateway went back"
    hint = (
        f"ALL-USE goes on above {used}; a program that trusts the gateway's number sends one twice"
    )
    return Check("order ids", WARN, detail, hint)


def farms(said: Sequence[Said]) -> Check:
    """Say what the gateway told of its own connections when it was greeted."""
    state: dict[str, Said] = {}
    for each in said:
        if each.code in _LINK_BROKEN:
            hint = "wait for 1102 or 1101; check IBKR's system status, or log in again"
            return Check("data farms", FAIL, str(each), hint)
        name = codes.FARMS_BROKEN.get(each.code) or codes.FARMS_FINE.get(each.code)
        if name:
            state[name] = each
    broken = [each for each in state.values() if each.code in codes.FARMS_BROKEN]
    if broken:
        detail = "; ".join(str(each) for each in broken)
        return Check("data farms", FAIL, detail, "it mends itself, or a re-login does")
    if not state:
        return Check("data farms", UNKNOWN, "the gateway said nothing of its farms")
    return Check("data farms", OK, ", ".join(sorted(state)))


def read_only(preview: Preview | None, own: bool) -> Check:
    """Say whether orders are let in: by the gateway's setting, and by ours."""
    if own:
        detail = "read_only = true here: no order is sent, and what the gateway allows is not known"
        return Check("read-only API", UNKNOWN, detail, "set read_only = false to have it asked")
    refusal = _refusal(preview)
    if refusal is not None and _READ_ONLY in refusal.text.lower():
        hint = "clear 'Read-Only API' in the gateway's API settings"
        return Check("read-only API", FAIL, str(refusal), hint)
    if preview is None or (preview.echo is None and refusal is None):
        return Check("read-only API", UNKNOWN, "a what-if order was not answered")
    return Check("read-only API", OK, "orders are let in")


def presets(preview: Preview | None) -> Check:
    """Compare a what-if order with its echo: presets change what a request leaves to them."""
    if preview is None or preview.echo is None:
        return Check("order presets", UNKNOWN, "no echo of a what-if order to compare with")
    changed = [
        f"{field.name} {getattr(preview.sent, field.name)} became"
        f" {getattr(preview.echo, field.name)}"
        for field in attrs.fields(Terms)
        if getattr(preview.sent, field.name) != getattr(preview.echo, field.name)
    ]
    told = [str(each) for each in preview.said if each.code == codes.PRESET_CHANGED_IT]
    if changed or told:
        hint = "reset the order presets in TWS (Global Configuration, Presets)"
        return Check("order presets", FAIL, "; ".join(changed + told), hint)
    return Check("order presets", OK, "the echo of a what-if order is what was sent")


def precautions(preview: Preview | None) -> Check:
    """Say whether a precaution of TWS would stop orders, or wait for a click."""
    if preview is None:
        return Check("precautions", UNKNOWN, "a what-if order was not sent")
    hint = "set the limits, or 'Bypass Order Precautions for API Orders', in the API settings"
    stopped = [each for each in preview.said if each.code in codes.PRECAUTIONS]
    if stopped:
        return Check("precautions", FAIL, "; ".join(map(str, stopped)), hint)
    if preview.echo is None:
        return Check("precautions", UNKNOWN, "a what-if order was not answered")
    if preview.warning:
        return Check("precautions", WARN, preview.warning, hint)
    detail = "none is met by one unit at the market's price; larger orders may meet one"
    return Check("precautions", OK, detail)


def permission(what: str, preview: Preview | None) -> Check:
    """Say whether an instrument may be traded where it was asked for."""
    name = f"permission {what}"
    if preview is None:
        return Check(name, UNKNOWN, "a what-if order was not sent")
    if preview.went_live:
        detail = "THE GATEWAY TOOK A WHAT-IF FOR AN ORDER; it was cancelled at once"
        return Check(name, FAIL, detail, "look into TWS whether it is gone, and update TWS")
    refusal = _refusal(preview)
    if refusal is not None and _READ_ONLY in refusal.text.lower():
        return Check(name, UNKNOWN, "the gateway is read-only")
    if refusal is not None and not _is_denied(refusal):
        return Check(name, UNKNOWN, str(refusal))
    if refusal is not None:
        hint = "ask for the permission in Client Portal, or trade another exchange"
        return Check(name, FAIL, str(refusal), hint)
    if preview.echo is None:
        return Check(name, UNKNOWN, "a what-if order was not answered")
    return Check(name, OK, "a what-if order is accepted")


def market_data(what: str, seen: DataSeen, asked: DataType) -> Check:
    """Say which kind of data comes, against the kind that the settings ask for."""
    name = f"market data {what}"
    told = "; ".join(str(each) for each in seen.said)
    if any(each.code == codes.COMPETING_SESSION for each in seen.said):
        return Check(name, FAIL, told, "see 'competing session'")
    hint = "subscribe to the exchange's data, and share it with the paper account in its settings"
    if not seen.ticked:
        if told:
            return Check(name, FAIL, told, hint)
        return Check(name, UNKNOWN, "no tick came; the market may be closed", "try again when open")
    kind = seen.data_type
    if kind is None:
        return Check(name, UNKNOWN, "ticks come, and the gateway does not say of which kind")
    if kind is DataType.LIVE or kind is asked:
        return Check(name, OK, kind.value)
    detail = f"{kind.value}, where {asked.value} was asked for{f': {told}' if told else ''}"
    if kind is DataType.FROZEN:
        return Check(name, WARN, detail, "the market is closed: these are its last values")
    return Check(name, FAIL, detail, f"nothing is priced on it; {hint}")


def competing(seen: Sequence[DataSeen], said: Sequence[Said]) -> Check:
    """Say whether another login of the same user takes the data away."""
    found = [each for one in seen for each in one.said] + list(said)
    refused = [each for each in found if each.code == codes.COMPETING_SESSION]
    if refused:
        hint = "end the other session of this user, or give this one a user of its own"
        return Check("competing session", FAIL, str(refused[0]), hint)
    if any(one.ticked for one in seen):
        return Check("competing session", OK, "none: market data comes")
    return Check("competing session", UNKNOWN, "no market data came that would show it")


def _refusal(preview: Preview | None) -> Said | None:
    if preview is None or preview.echo is not None:
        return None
    return next((each for each in preview.said if not is_information(each)), None)


def is_information(said: Said) -> bool:
    """Whether a coded message about an order leaves it as it is."""
    return said.meaning is ErrorClass.INFO or said.code in codes.WARNINGS


def is_no_data(said: Said) -> bool:
    """Whether no tick is to be waited for after a coded message about market data."""
    return said.meaning is not ErrorClass.INFO and said.code != codes.DELAYED_AVAILABLE


def _is_denied(said: Said) -> bool:
    # A precaution or a price off its increments refuses this order, whoever may trade it.
    of_this_order = codes.PRECAUTIONS | {codes.PRICE_INCREMENT}
    return said.meaning is ErrorClass.DEFINITE_REJECT and said.code not in of_this_order
