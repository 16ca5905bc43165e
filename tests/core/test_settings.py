"""Settings: read strictly, each value with its origin, no secret shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs.validators import gt

from alluse_core.errors import PluginError, SettingsError
from alluse_core.settings import CORE_TABLES, Settings, is_secret, structure
from alluse_core.settings.strict import EnvironmentText


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Inner:
    depth: int = 1


@attrs.frozen
class Everything:
    flag: bool = False
    count: int = 1
    ratio: float = 1.0
    text: str = ""
    money: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    maybe: float | None = None
    names: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    pair: tuple[int, str] = (1, "a")
    listed: list[str] = attrs.field(factory=list)
    sequence: Sequence[str] = ()
    limits: Mapping[str, float] = attrs.field(factory=dict)
    inner: Inner = attrs.field(factory=Inner)
    positive: float = attrs.field(default=1.0, validator=gt(0))
    api_token: str = "none"


@attrs.frozen
class Login:
    user: str = ""
    password: str = ""


@attrs.frozen
class Mailer:
    login: Login = attrs.field(factory=Login)


def read(**values: Any) -> Everything:
    return structure(values, Everything, "stages.every", {})


# --- strictness ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"flag": "false"},
        {"flag": 0},
        {"flag": 1},
        {"flag": None},
        {"count": 3.9},
        {"count": 3.0},
        {"count": "3"},
        {"count": True},
        {"ratio": "0.5"},
        {"ratio": True},
        {"ratio": float("nan")},
        {"ratio": float("inf")},
        {"ratio": 10**400},
        {"text": 5},
        {"text": None},
        {"text": ["a"]},
        {"money": True},
        {"money": "NaN"},
        {"money": float("inf")},
        {"money": "a lot"},
        {"money": [1]},
        {"colour": "green"},
        {"maybe": "1"},
        {"names": "ab"},
        {"names": 5},
        {"names": ["a", 5]},
        {"numbers": [1, "2"]},
        {"numbers": [float("nan")]},
        {"pair": [1]},
        {"pair": [1, "a", 2]},
        {"pair": ["a", 1]},
        {"listed": "ab"},
        {"sequence": "ab"},
        {"limits": {"a": "1"}},
        {"inner": {"depth": "1"}},
        {"inner": {"dept": 1}},
        {"inner": 5},
        {"positive": 0},
        {"api_token": 5},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_refused_by_its_path(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**values)
    assert f"stages.every.{next(iter(values))}" in str(caught.value)
    assert caught.value.exit_code == 3


def test_values_of_the_right_type_are_taken_as_they_are() -> None:
    taken = read(
        flag=True,
        count=5,
        ratio=2,
        text="x",
        money=0.1,
        colour="blue",
        maybe=2.5,
        names=["a", "b"],
        numbers=[1, 2.5],
        pair=[7, "z"],
        listed=["q"],
        sequence=["r"],
        limits={"a": 1},
        inner={"depth": 3},
    )
    assert taken.flag is True
    assert (taken.ratio, type(taken.ratio)) == (2.0, float)
    assert taken.money == Decimal("0.1")
    assert taken.colour is Colour.BLUE
    assert taken.maybe == 2.5
    assert taken.names == ("a", "b")
    assert taken.numbers == (1.0, 2.5)
    assert taken.pair == (7, "z")
    assert (taken.listed, taken.sequence) == (["q"], ("r",))
    assert (taken.limits, taken.inner) == ({"a": 1.0}, Inner(3))


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match=r"stages.every.cuont .*did you mean 'count'") as caught:
        read(cuont=5)
    assert "count" in caught.value.hint


def test_a_settings_class_that_cannot_be_read_is_the_plugins_fault() -> None:
    @attrs.frozen
    class Odd:
        number: complex = 1j

    with pytest.raises(PluginError, match=r"stages\.odd"):
        structure({"number": 1}, Odd, "stages.odd", {})


# --- the environment, where everything is text ----------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flag", "true", True),
        ("flag", "No", False),
        ("flag", "1", True),
        ("count", "12", 12),
        ("ratio", "1e-3", 0.001),
        ("text", "false", "false"),
        ("money", "0.1", Decimal("0.1")),
        ("colour", "blue", Colour.BLUE),
        ("maybe", "2", 2.0),
        ("names", "a, b,c", ("a", "b", "c")),
        ("names", "", ()),
        ("numbers", "1,2.5", (1.0, 2.5)),
        ("pair", "7,z", (7, "z")),
    ],
)
def test_text_of_the_environment_is_read_by_the_type(name: str, text: str, value: Any) -> None:
    found = getattr(read(**{name: EnvironmentText(text)}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("flag", "maybe"),
        ("flag", ""),
        ("count", "3.9"),
        ("count", ""),
        ("ratio", "nan"),
        ("ratio", "inf"),
        ("ratio", "half"),
        ("money", "NaN"),
        ("colour", "green"),
        ("numbers", "1,x"),
        ("positive", "-1"),
        ("limits", "a=1"),
    ],
)
def test_text_that_the_type_cannot_mean_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(**{name: EnvironmentText(text)})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ALLUSE_ORDERS__STAGE_BUDGET", "abc"),
        ("ALLUSE_MONITOR__PERIOD", "0"),
        ("ALLUSE_ORDERS__STAGE_BUGDET", "1"),
        ("ALLUSE_ORDRES__PACING", "true"),
        ("ALLUSE_ORDERS__STAGES__0", "x"),
        ("ALLUSE_ORDERS__", "x"),
        ("ALLUSE__X", "x"),
        ("ALLUSE_BROKERS__MAIN__PORT", "7497"),
        ("ALLUSE_BROKERS__MAIN", "ibkr"),
        ("ALLUSE_ORDERS__PACING__DEEPER", "x"),
    ],
)
def test_a_bad_variable_is_named_in_the_error(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        assert Settings.load(environ=home({name: text})).brokers


def test_a_variable_with_one_underscore_too_few_is_not_passed_over() -> None:
    with pytest.raises(SettingsError, match="did you mean ALLUSE_ORDERS__STAGE_BUDGET"):
        Settings.load(environ=home({"ALLUSE_ORDERS_STAGE_BUDGET": "1"}))


def test_variables_without_a_section_are_not_settings() -> None:
    settings = Settings.load(environ=home({"ALLUSE_DEBUG": "1", "ALLUSE_SAFE_MODE": "1"}))
    assert settings.tables == {}


# --- precedence and origin --------------------------------------------------------------------


def home(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return an environment whose user has no settings but those in ``folder``."""
    return {"XDG_CONFIG_HOME": str(folder or "/nonexistent"), **(environ or {})}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_override_beats_environment_beats_project_beats_user_beats_default(
    tmp_path: Path,
) -> None:
    user, project = tmp_path / "user", tmp_path / "project.toml"
    user.mkdir()
    user_file = user / "alluse.toml"
    user_file.write_text(
        "[quotes]\nworkers = 2\nmax_age = 2.0\nttl = 2.0\ntimeout = 2.0\n", "utf-8"
    )
    project.write_text("[quotes]\nworkers = 3\nmax_age = 3.0\nttl = 3.0\n", "utf-8")
    settings = Settings.load(
        project,
        environ=home({"ALLUSE_QUOTES__WORKERS": "4", "ALLUSE_QUOTES__MAX_AGE": "4"}, user),
        overrides={"quotes.workers": 5},
    )
    rows = {path: (value, origin) for path, value, origin in settings.effective()}
    assert rows["quotes.workers"] == (5, "override")
    assert rows["quotes.max_age"] == (4.0, "environment ALLUSE_QUOTES__MAX_AGE")
    assert rows["quotes.ttl"] == (3.0, str(project))
    assert rows["quotes.timeout"] == (2.0, str(user_file))
    assert rows["quotes.idle_line"] == (60.0, "default")


def test_tables_of_two_files_are_merged_key_by_key(tmp_path: Path) -> None:
    project = tmp_path / "project.toml"
    project.write_text('[brokers.Main]\nprovider = "ibkr"\nport = 4002\n', "utf-8")
    settings = Settings.load(project, environ=home({"ALLUSE_BROKERS__MAIN__PORT": "7497"}))
    assert settings.brokers == {"Main": "ibkr"}
    assert settings.tables["brokers"]["Main"]["port"] == "7497"


def test_the_working_folders_file_is_read_where_none_is_named(tmp_path: Path) -> None:
    assert Settings.load(environ=home()).quotes.workers == 12
    (tmp_path / "alluse.toml").write_text("[quotes]\nworkers = 3\n", "utf-8")
    assert Settings.load(environ=home()).quotes.workers == 3


def test_a_mapping_stands_alone_and_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLUSE_QUOTES__WORKERS", "4")
    given = {"quotes": {"workers": 3}}
    settings = Settings.load(given, overrides={"quotes.ttl": 9.0})
    assert (settings.quotes.workers, settings.quotes.ttl) == (3, 9.0)
    assert given == {"quotes": {"workers": 3}}


def test_settings_may_be_made_from_settings_without_changing_them() -> None:
    first = Settings.load({"quotes": {"workers": 3}})
    second = Settings.load(first, overrides={"quotes.workers": 4})
    assert (first.quotes.workers, second.quotes.workers) == (3, 4)
    assert (first.origins["quotes.workers"], second.origins["quotes.workers"]) == (
        "mapping",
        "override",
    )


# --- files that cannot be read ----------------------------------------------------------------


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml.*does not exist") as caught:
        Settings.load(tmp_path / "gone.toml", environ=home())
    assert "config init" in caught.value.hint


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder"):
        Settings.load(tmp_path, environ=home())


@pytest.mark.parametrize(
    "content", [b"[orders", b"a = ", b"[a]\n[a]\n", b"\xff\xfe", b"x = 1\nx = 2\n"]
)
def test_broken_toml_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"broken\.toml is not valid TOML"):
        Settings.load(path, environ=home())


# --- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"oders": {"pacing": True}}, "did you mean 'orders'"),
        ({"orders": 5}, "orders must be a table, not 5"),
        ({"brokers": 5}, "brokers must be a table"),
        ({"brokers": {"main": "ibkr"}}, r"brokers\.main must be a table"),
        ({"stages": {"max_quantity": 5}}, r"stages\.max_quantity must be a table"),
        ({"brokers": {"../../etc": {"provider": "x"}}}, "no plain name"),
        ({"brokers": {"": {"provider": "x"}}}, "no plain name"),
        ({5: {}}, "names, not 5"),
        ({"orders": {5: 1}}, "names, not 5"),
        ({"alluse": {"tenant": "../other"}}, "tenant"),
        ({"alluse": {"tenant": ""}}, "tenant"),
        ({"orders": {"default_account": "../DU1"}}, "default_account"),
        ({"orders": {"stage_budget": -1}}, "stage_budget"),
        ({"orders": {"max_unfinished": 0}}, "max_unfinished"),
        ({"quotes": {"workers": 0}}, "workers"),
        ({"monitor": {"period": 0}}, "period"),
        ({"analysis": {"profile": "prod"}}, "profile"),
    ],
)
def test_a_wrong_table_is_refused(tables: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.load(tables)


def test_the_origin_of_a_misspelt_table_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[orders]\npacing = true\n[order]\nx = 1\n", "utf-8")
    with pytest.raises(SettingsError, match=r"\[order\] is not .*a\.toml"):
        Settings.load(path, environ=home())


@pytest.mark.parametrize("table", [{}, {"provider": ""}, {"provider": 5}])
def test_a_broker_says_its_provider(table: dict[str, Any]) -> None:
    settings = Settings.load({"brokers": {"main": table}})
    with pytest.raises(SettingsError, match=r"brokers\.main does not say its provider"):
        assert settings.brokers


def test_every_table_of_the_core_can_be_empty_and_is_documented() -> None:
    settings = Settings.load({name: {} for name in CORE_TABLES})
    for name, settings_type in CORE_TABLES.items():
        assert settings_type.__doc__
        assert settings.table(name, settings_type) == settings_type()


# --- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["api_token", "PASSWORD", "client_secret", "passphrase"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name)


def test_a_secret_is_hidden_wherever_settings_are_shown() -> None:
    settings = Settings.load({"stages": {"every": {"api_token": "hunter2", "count": 5}}})
    rows = settings.effective({"stages.every": Everything})
    assert ("stages.every.api_token", "***", "mapping") in rows
    assert ("stages.every.count", 5, "mapping") in rows
    assert "hunter2" not in f"{rows!r} {settings!r} {settings}"


def test_a_secret_is_not_in_the_error_about_it() -> None:
    @attrs.frozen
    class Guarded:
        api_token: str = attrs.field(default="x" * 9, validator=attrs.validators.matches_re("x+"))

    with pytest.raises(SettingsError) as caught:
        structure({"api_token": "hunter2"}, Guarded, "notifiers.pager", {})
    assert "notifiers.pager.api_token" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_in_a_table_below_is_hidden_too() -> None:
    given = {"login": {"user": "ada", "password": "hunter2"}}
    rows = Settings.load({"notifiers": {"mail": given}}).effective({"notifiers.mail": Mailer})
    assert ("notifiers.mail.login", {"user": "ada", "password": "***"}, "mapping") in rows
    with pytest.raises(SettingsError) as caught:
        structure({"login": {"user": 5, "password": "hunter2"}}, Mailer, "notifiers.mail", {})
    assert "hunter2" not in str(caught.value)
