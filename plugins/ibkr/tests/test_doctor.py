"""The doctor against a gateway that is well, and against one for each thing that costs money."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from alluse_gateway import requests
from alluse_gateway.server import SimulatedGateway
from alluse_ibkr import examination, findings
from alluse_ibkr.client import REQUEST_IDS_FROM
from alluse_ibkr.clock_skew import Bound
from alluse_ibkr.examination import Ear
from alluse_ibkr.findings import DataSeen, Said
from facts_lab import both
from ibkr_lab import AAPL, EURUSD, Lab, frame, gateway

from alluse_core.cli.main import main
from alluse_core.model import AccountMode, DataType, ErrorClass, Instrument
from alluse_core.orders.outcomes import classify
from alluse_core.ports import Check, Examinable, Inquiry, Verdict


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "_TICK_SECONDS", 0.0)


async def examined(gate: Any, inquiry: Inquiry | None = None, **settings: Any) -> dict[str, Check]:
    """Return the checks of one examination by their names."""
    lab = Lab(port=gate.port, **settings)
    assert isinstance(lab.broker, Examinable)
    asked = inquiry or Inquiry(used_order_ids={}, patience=0.5)
    checks = [each async for each in lab.broker.examine(asked)]
    names = [check.name for check in checks]
    assert len(names) == len(set(names)), "each check has a name of its own"
    return {check.name: check for check in checks}


def found(
    prepare: Callable[[Any], None] | None = None,
    inquiry: Inquiry | None = None,
    server: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Check]:
    """Examine a gateway that ``prepare`` has put something wrong into; nothing may be placed."""

    async def story() -> dict[str, Check]:
        async with gateway(**(server or {})) as gate:
            if prepare is not None:
                prepare(gate)
            checks = await examined(gate, inquiry, **settings)
            assert [each for each in gate.ledger.of("place") if not each["what_if"]] == []
            assert not gate.exchange.open_orders()
            assert gate.ledger.of("placed") == []
        return checks

    return asyncio.run(story())


def on_request(monkeypatch: pytest.MonkeyPatch, kind: type, act: Callable[[Any, Any], Any]) -> None:
    """Have the gateway pass requests of a kind through ``act``, which may swallow or change one."""
    asked = SimulatedGateway.asked

    def passing(self: Any, session: Any, request: Any) -> None:
        if isinstance(request, kind):
            request = act(session, request)
        if request is not None:
            asked(self, session, request)

    monkeypatch.setattr(SimulatedGateway, "asked", passing)


STOCK = AAPL.id


@both
def test_a_well_gateway_is_found_well_and_nothing_is_placed(library: str) -> None:
    checks = found(library=library)
    verdicts = {name: check.verdict for name, check in checks.items()}
    account = verdicts.pop("account")
    assert account in (Verdict.OK, Verdict.WARN), "several accounts are worth a word"
    version = verdicts.pop("server version")
    assert version is (Verdict.OK if library == "ib_insync" else version)
    assert set(verdicts.values()) == {Verdict.OK}, checks
    assert {
        "client id",
        "connection",
        "clock",
        "time zone",
        "order ids",
        "restart windows",
        "data farms",
        f"market data {STOCK}",
        f"permission {STOCK}",
        "read-only API",
        "order presets",
        "precautions",
        "competing session",
    } == set(verdicts)


@pytest.mark.parametrize(
    ("accounts", "wanted", "region", "restart_at", "verdict"),
    [
        (["U1234567"], "", "", "", Verdict.WARN),
        (["DU1", "U1234567"], "DU1", "", "", Verdict.OK),
        (["DU1", "U1234567"], "U1234567", "", "", Verdict.WARN),
        (["X1"], "", "", "", Verdict.WARN),
        (["U1234567"], "", "europe", "", Verdict.OK),
        (["U1234567"], "", "", "23:45 America/New_York", Verdict.OK),
        (["DU1"], "", "", "", Verdict.OK),
    ],
)
def test_a_live_account_without_a_restart_window_is_warned_of(
    accounts: list[str], wanted: str, region: str, restart_at: str, verdict: Verdict
) -> None:
    check = findings.restart_windows(accounts, wanted, region, restart_at)
    assert check.verdict is verdict
    assert bool(check.hint) is (verdict is Verdict.WARN)


def test_the_windows_that_are_set_are_found_by_the_doctor() -> None:
    check = found(region="europe", restart_at="23:45 America/New_York")["restart windows"]
    assert "europe" in check.detail
    assert "23:45" in check.detail


def test_every_instrument_asked_about_gets_its_own_answers() -> None:
    inquiry = Inquiry((AAPL, EURUSD, Instrument.stock("NOSUCH")), patience=0.5)
    checks = found(inquiry=inquiry)
    assert checks[f"permission {EURUSD.id}"].verdict is Verdict.OK
    assert checks[f"market data {EURUSD.id}"].verdict is Verdict.OK
    missing = checks[f"contract {Instrument.stock('NOSUCH').id}"]
    assert (missing.verdict, "200" in missing.detail) == (Verdict.FAIL, True)


def test_a_preset_that_changes_the_tif_is_found_by_the_echo() -> None:
    check = found(lambda gate: gate.control.preset("GTC"))["order presets"]
    assert check.verdict is Verdict.FAIL
    assert check.detail == "time_in_force DAY became GTC"


def test_a_preset_that_changes_outside_rth_is_found_without_any_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_request(
        monkeypatch, requests.PlaceOrder, lambda _, asked: attrs.evolve(asked, outside_rth=True)
    )
    check = found()["order presets"]
    assert (check.verdict, check.detail) == (Verdict.FAIL, "outside_rth False became True")


def refusing(monkeypatch: pytest.MonkeyPatch, code: int, text: str) -> None:
    """Have the gateway refuse every order, what-if ones too."""

    def refuse(session: Any, request: Any) -> None:
        session.error(request.request_id, code, text)

    on_request(monkeypatch, requests.PlaceOrder, refuse)


def test_a_read_only_api_is_named_and_is_no_missing_permission() -> None:
    checks = found(lambda gate: gate.control.read_only())
    assert checks["read-only API"].verdict is Verdict.FAIL
    assert "Read-Only API" in checks["read-only API"].hint
    assert checks[f"permission {STOCK}"].verdict is Verdict.UNKNOWN
    assert checks["order presets"].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("code", [109, 163, 383])
def test_a_precaution_is_named_with_its_way_out(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, code, "The order exceeds a limit of the Precautionary Settings.")
    checks = found()
    assert checks["precautions"].verdict is Verdict.FAIL
    assert "Precautionary" in checks["precautions"].detail
    assert checks[f"permission {STOCK}"].verdict is Verdict.UNKNOWN


def test_a_size_limit_of_the_gateways_own_is_met_by_a_what_if() -> None:
    checks = found(lambda gate: gate.control.precautions(size="0.5"))
    assert (checks["precautions"].verdict, "383" in checks["precautions"].detail) == (
        Verdict.FAIL,
        True,
    )


def test_a_missing_permission_is_told_for_the_exchange_that_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing(monkeypatch, 201, "Order rejected - reason:No trading permissions.")
    check = found()[f"permission {STOCK}"]
    assert (check.verdict, "No trading permissions" in check.detail) == (Verdict.FAIL, True)


def test_a_what_if_without_an_answer_leaves_all_that_hangs_on_it_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_request(monkeypatch, requests.PlaceOrder, lambda *_: None)
    checks = found(inquiry=Inquiry(patience=0.2))
    for name in ("read-only API", "order presets", "precautions", f"permission {STOCK}"):
        assert checks[name].verdict is Verdict.UNKNOWN, name


def test_a_gateway_that_takes_a_what_if_for_an_order_is_caught_and_the_order_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_request(
        monkeypatch, requests.PlaceOrder, lambda _, asked: attrs.evolve(asked, what_if=False)
    )

    async def story() -> None:
        async with gateway() as gate:
            check = (await examined(gate))[f"permission {STOCK}"]
            assert check.verdict is Verdict.FAIL
            await asyncio.sleep(0.05)
            assert not gate.exchange.open_orders()
            assert gate.ledger.of("cancel")

    asyncio.run(story())


def test_a_broker_that_is_read_only_here_is_not_even_sent_a_what_if() -> None:
    async def story() -> None:
        async with gateway() as gate:
            checks = await examined(gate, read_only=True)
            assert gate.ledger.of("place") == []
            assert checks["read-only API"].verdict is Verdict.UNKNOWN
            assert checks[f"permission {STOCK}"].verdict is Verdict.UNKNOWN

    asyncio.run(story())


def test_data_without_a_subscription_is_delayed_and_said_so() -> None:
    checks = found(server={"entitled": False}, inquiry=Inquiry(patience=0.3))
    check = checks[f"market data {STOCK}"]
    assert check.verdict is Verdict.FAIL
    assert "354" in check.detail


def test_delayed_data_that_was_asked_for_is_what_comes() -> None:
    checks = found(server={"entitled": False}, market_data_type=3)
    check = checks[f"market data {STOCK}"]
    assert (check.verdict, check.detail) == (Verdict.OK, "delayed")


def test_a_competing_session_takes_the_data_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(session: Any, request: Any) -> None:
        text = "No market data during competing live session"
        session.error(request.request_id, 10197, text)

    on_request(monkeypatch, requests.MarketData, refuse)
    checks = found()
    assert checks["competing session"].verdict is Verdict.FAIL
    assert "competing live session" in checks["competing session"].detail
    assert checks[f"market data {STOCK}"].verdict is Verdict.FAIL


def test_a_market_without_a_tick_is_unknown_and_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    on_request(monkeypatch, requests.MarketData, lambda *_: None)
    checks = found(inquiry=Inquiry(patience=0.2))
    assert checks[f"market data {STOCK}"].verdict is Verdict.UNKNOWN
    assert checks["competing session"].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("skew", "verdict"),
    [(3.0, Verdict.WARN), (-3.0, Verdict.WARN), (90.0, Verdict.FAIL), (-90.0, Verdict.FAIL)],
)
def test_a_clock_that_is_off_is_measured(skew: float, verdict: Verdict) -> None:
    check = found(lambda gate: gate.control.clock_skew(skew))["clock"]
    assert check.verdict is verdict
    (told,) = re.findall(r"([+-]\d+\.\d) s from ours", check.detail)
    assert abs(float(told) - skew) <= 0.6


def test_a_zone_that_nobody_knows_and_one_that_is_not_true_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for zone, verdict in (
        ("Eastern Standard Time", Verdict.FAIL),
        ("America/New_York", Verdict.FAIL),
        ("UTC", Verdict.OK),
    ):
        monkeypatch.setattr(
            "alluse_gateway.session.handshake.greeting",
            lambda version, now, zone=zone: frame(version, f"{now:%Y%m%d %H:%M:%S} {zone}"),
        )
        assert found()["time zone"].verdict is verdict, zone


def test_an_order_id_that_went_back_is_found_against_the_journal() -> None:
    def rolled_back(gate: Any) -> None:
        gate.control.next_order_id(17, 38_099)

    check = found(rolled_back, Inquiry(used_order_ids={17: 38_103}, patience=0.5))["order ids"]
    assert check.verdict is Verdict.WARN
    assert "38103 was used" in check.detail
    well = found(rolled_back, Inquiry(used_order_ids={17: 38_098, 3: 99_999}, patience=0.5))
    assert well["order ids"].verdict is Verdict.OK
    unread = found(rolled_back, Inquiry(used_order_ids=None, patience=0.5))
    assert unread["order ids"].verdict is Verdict.UNKNOWN


def test_a_what_if_takes_no_order_id_that_the_journal_has_used() -> None:
    async def story() -> None:
        async with gateway() as gate:
            await examined(gate, Inquiry(used_order_ids={17: 5_000}, patience=0.5))
            assert [each["order_id"] for each in gate.ledger.of("place")] == [5_001]

    asyncio.run(story())


def test_a_client_id_in_use_is_told_and_the_rest_is_asked_by_another() -> None:
    checks = found(lambda gate: gate.control.refuse_id(17, 99))
    assert checks["client id"].verdict is Verdict.FAIL
    assert checks["order ids"].verdict is Verdict.UNKNOWN
    assert checks["read-only API"].verdict is Verdict.OK


def test_broken_farms_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (2103, 2106, 2158)
    monkeypatch.setattr("alluse_gateway.server.notices.GREETING_NOTICES", broken)
    check = found()["data farms"]
    assert (check.verdict, "2103" in check.detail) == (Verdict.FAIL, True)
    monkeypatch.setattr("alluse_gateway.server.notices.GREETING_NOTICES", ())
    assert found()["data farms"].verdict is Verdict.UNKNOWN


def test_a_gateway_without_its_link_to_ibkr_is_told() -> None:
    check = found(lambda gate: gate.control.broadcast(1100), Inquiry(patience=0.2))["data farms"]
    assert (check.verdict, "1100" in check.detail) == (Verdict.FAIL, True)


def test_an_old_gateway_is_worth_a_warning() -> None:
    check = found(server={"version": 163})["server version"]
    assert (check.verdict, check.detail[:3]) == (Verdict.WARN, "163")


def test_an_account_that_the_login_lacks_is_told() -> None:
    assert found(account="DU7")["account"].verdict is Verdict.FAIL


def test_a_live_account_is_judged_by_its_prefix_and_not_by_the_port() -> None:
    def live(gate: Any) -> None:
        gate.control.accounts(["U7654321"])

    assert found(live)["account"].verdict is Verdict.WARN
    allowed = Inquiry(live_account="U7654321", patience=0.5)
    assert found(live, allowed)["account"].verdict is Verdict.OK
    odd = findings.account(["U7654321"], "", "U7654321", 4002)
    assert odd.verdict is Verdict.WARN
    assert "real money" in odd.hint
    assert findings.account(["DU1"], "", "", 4001).verdict is Verdict.WARN
    assert findings.account(["X1"], "", "", 9999).verdict is Verdict.UNKNOWN
    assert AccountMode.LIVE.value in odd.detail


def test_nobody_listening_is_one_failure_with_its_way_out() -> None:
    async def story() -> dict[str, Check]:
        async with gateway() as gate:
            await gate.control.pause_listening()
            return await examined(gate)

    checks = asyncio.run(story())
    assert set(checks) == {"connection"}
    assert checks["connection"].verdict is Verdict.FAIL
    assert "enable its API" in checks["connection"].hint


def test_a_mute_gateway_fails_within_the_patience_and_the_rest_is_unknown() -> None:
    checks = found(lambda gate: gate.control.mute([49]), Inquiry(patience=0.1))
    assert checks["connection"].verdict is Verdict.FAIL
    assert checks["clock"].verdict is Verdict.UNKNOWN


def test_a_connection_that_ends_midway_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    on_request(monkeypatch, requests.MarketData, lambda session, _: session.abort("cut"))

    async def story() -> list[Check]:
        async with gateway() as gate:
            lab = Lab(port=gate.port)
            return [each async for each in lab.broker.examine(Inquiry(patience=0.5))]

    last = asyncio.run(story())[-1]
    assert (last.name, last.verdict) == ("connection", Verdict.FAIL)
    assert "while it was examined" in last.detail


# --- the command ---------------------------------------------------------------------------------


def command(
    gate: Any, folder: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, dict[str, str]]]:
    """Run ``alluse doctor --connect --json`` in a thread; return its code and its checks."""
    settings = folder / "alluse.toml"
    settings.write_text(
        f"[alluse]\nstate_dir = {str(folder / 'state')!r}\n"
        f'[brokers.main]\nprovider = "ibkr"\nport = {gate.port}\n',
        "utf-8",
    )
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--config", str(settings), "--connect", "--json", *words])
    return int(str(ended.value.code)), {
        row["name"]: row for row in json.loads(capsys.readouterr().out)
    }


def test_the_command_examines_the_brokers_of_the_settings_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            code, checks = await asyncio.to_thread(
                command, gate, tmp_path, capsys, "--ask", "AAPL", "--ask", EURUSD.id, "--strict"
            )
            assert checks["main account"]["detail"] == "DU1000001 (paper)"
            assert checks[f"main permission {EURUSD.id}"]["verdict"] == "ok"
            assert {row["verdict"] for row in checks.values()} == {"ok"}, checks
            assert code == 0
            assert not (tmp_path / "state").exists()
            assert gate.ledger.of("placed") == []

    asyncio.run(story())


def test_the_commands_exit_code_tells_failures_and_strictly_also_warnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with gateway(version=163) as gate:
            code, checks = await asyncio.to_thread(command, gate, tmp_path, capsys)
            assert (code, checks["main server version"]["verdict"]) == (0, "warn")
            code, _ = await asyncio.to_thread(command, gate, tmp_path, capsys, "--strict")
            assert code == 1
            await gate.control.pause_listening()
            code, checks = await asyncio.to_thread(command, gate, tmp_path, capsys)
            assert (code, checks["main connection"]["verdict"]) == (1, "fail")

    asyncio.run(story())


def test_an_examination_ends_at_its_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with gateway() as gate:
            gate.control.mute([9])
            code, checks = await asyncio.to_thread(
                command, gate, tmp_path, capsys, "--limit", "0.4", "--strict"
            )
            assert code == 1
            assert checks["main examination"]["verdict"] == "unknown"

    asyncio.run(story())


# --- what facts mean -----------------------------------------------------------------------------


def test_only_a_proven_skew_is_one() -> None:
    assert findings.clock(None).verdict is Verdict.UNKNOWN
    assert findings.clock(Bound(-0.5, 0.6)).verdict is Verdict.OK
    assert findings.clock(Bound(0.1, 0.9)).verdict is Verdict.OK
    assert findings.clock(Bound(1.1, 1.9)).verdict is Verdict.WARN


def test_a_preset_that_is_only_told_and_not_echoed_counts_as_one() -> None:
    terms = findings.Terms("DAY", False, "DU1", "1", "99")
    told = (Said(7, 10349, "Order TIF was set to GTC based on order preset.", ErrorClass.INFO),)
    check = findings.presets(findings.Preview(terms, terms, "", told))
    assert (check.verdict, "10349" in check.detail) == (Verdict.FAIL, True)


@pytest.mark.parametrize(
    ("code", "meaning", "verdict"),
    [
        (201, ErrorClass.DEFINITE_REJECT, Verdict.FAIL),
        (110, ErrorClass.DEFINITE_REJECT, Verdict.UNKNOWN),
        (109, ErrorClass.DEFINITE_REJECT, Verdict.UNKNOWN),
        (404, ErrorClass.HELD, Verdict.UNKNOWN),
        (31337, ErrorClass.UNCLASSIFIED, Verdict.UNKNOWN),
        (31337, ErrorClass.DEFINITE_REJECT, Verdict.FAIL),
        (399, ErrorClass.INFO, Verdict.UNKNOWN),
        (2161, ErrorClass.UNCLASSIFIED, Verdict.UNKNOWN),
    ],
)
def test_a_permission_is_missing_only_where_the_table_calls_the_answer_a_refusal(
    code: int, meaning: ErrorClass, verdict: Verdict
) -> None:
    terms = findings.Terms("DAY", False, "DU1", "1", "99")
    said = (Said(7, code, "told", meaning),)
    assert findings.permission("X", findings.Preview(terms, None, "", said)).verdict is verdict


@pytest.mark.parametrize(
    ("code", "meaning", "ends"),
    [
        (354, ErrorClass.STREAM, True),
        (10089, ErrorClass.STREAM, False),
        (10167, ErrorClass.INFO, False),
        (31337, ErrorClass.INFO, False),
    ],
)
def test_ticks_are_waited_for_unless_what_was_said_means_that_none_come(
    code: int, meaning: ErrorClass, ends: bool
) -> None:
    assert findings.is_no_data(Said(7, code, "told", meaning)) is ends


def test_the_doctor_reads_a_message_by_what_its_number_is_about() -> None:
    ear = Ear(classify)
    for number in (7, REQUEST_IDS_FROM, -1):
        ear.on_error(number, 201, "refused")
    of_order, of_request = ErrorClass.DEFINITE_REJECT, ErrorClass.COMMAND_REJECT
    assert [each.meaning for each in ear.said] == [of_order, of_request, of_request]


def test_frozen_data_is_a_closed_market_and_unsaid_types_are_unknown() -> None:
    live = DataType.LIVE
    frozen = findings.market_data("X", DataSeen(DataType.FROZEN, True, ()), live)
    assert frozen.verdict is Verdict.WARN
    unsaid = findings.market_data("X", DataSeen(None, True, ()), live)
    assert unsaid.verdict is Verdict.UNKNOWN
    delayed = DataSeen(
        DataType.DELAYED, True, (Said(1, 10167, "Displaying delayed data", ErrorClass.INFO),)
    )
    assert findings.market_data("X", delayed, live).verdict is Verdict.FAIL


def test_a_greeting_that_says_nothing_is_unknown() -> None:
    now = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    for text in ("", "garbage", "20260105 14:30:00"):
        assert findings.time_zone(text, now, 0.0).verdict is Verdict.UNKNOWN
    assert findings.time_zone("20260105 09:30:00 America/New_York", now, 0.0).verdict is Verdict.OK
