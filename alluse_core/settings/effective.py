"""Reading settings from files, the environment and overrides, each value with its origin."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import attrs

from alluse_core.errors import SettingsError, did_you_mean
from alluse_core.settings.strict import EnvironmentText, hidden, origin_of, structure
from alluse_core.settings.tables import (
    CORE_TABLES,
    PLUGIN_TABLES,
    AgentSettings,
    AlertsSettings,
    AnalysisSettings,
    HeartbeatSettings,
    MonitorSettings,
    OrdersSettings,
    QuotesSettings,
    ReportSettings,
)

T = TypeVar("T", bound=attrs.AttrsInstance)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@attrs.frozen
class Settings:
    """Effective settings: merged tables and, by dotted path, where each given value came from.

    What is not given has its default and no origin. Precedence: overrides, then
    ``ALLUSE_SECTION__KEY`` of the environment, then the project's file, then the user's file.
    """

    # Not shown by repr(): tables may hold secrets, and a repr ends in logs and tracebacks.
    tables: Mapping[str, Any] = attrs.field(repr=False)
    origins: Mapping[str, str]

    @classmethod
    def load(
        cls,
        source: Path | str | Mapping[str, Any] | Settings | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read settings. Raises SettingsError naming file, path, value and a way out.

        A path is the project's file, read together with the user's file and the environment
        (``environ``, by default the process's). A mapping stands alone, so that an embedding
        program gets what it wrote; None reads ``alluse.toml`` of the working folder if it is
        there. ``overrides`` maps dotted paths to values.
        """
        if isinstance(source, Settings):
            tables, origins = deepcopy(dict(source.tables)), dict(source.origins)
        elif isinstance(source, Mapping):
            tables, origins = {}, {}
            _merge(tables, origins, source, "mapping")
        else:
            tables, origins = {}, {}
            environment = os.environ if environ is None else environ
            for path in _files(source, environment):
                _merge(tables, origins, _read_toml(path), str(path))
            _check_underscores(environment)
            for name, text in sorted(environment.items()):
                if name.startswith("ALLUSE_") and "__" in name:
                    parts = _given_case(name.removeprefix("ALLUSE_").lower().split("__"), tables)
                    value = _nested(parts, EnvironmentText(text))
                    _merge(tables, origins, value, f"environment {name}")
        for dotted, value in (overrides or {}).items():
            _merge(tables, origins, _nested(dotted.split("."), value), "override")
        settings = cls(tables, origins)
        settings._check_tables()
        return settings

    @property
    def alluse(self) -> AgentSettings:
        """The ``[alluse]`` table."""
        return self.table("alluse", AgentSettings)

    @property
    def heartbeat(self) -> HeartbeatSettings:
        """``[heartbeat]``."""
        return self.table("heartbeat", HeartbeatSettings)

    @property
    def orders(self) -> OrdersSettings:
        """The ``[orders]`` table."""
        return self.table("orders", OrdersSettings)

    @property
    def quotes(self) -> QuotesSettings:
        """The ``[quotes]`` table."""
        return self.table("quotes", QuotesSettings)

    @property
    def monitor(self) -> MonitorSettings:
        """The ``[monitor]`` table."""
        return self.table("monitor", MonitorSettings)

    @property
    def alerts(self) -> AlertsSettings:
        """The ``[alerts]`` table."""
        return self.table("alerts", AlertsSettings)

    @property
    def analysis(self) -> AnalysisSettings:
        """The ``[analysis]`` table."""
        return self.table("analysis", AnalysisSettings)

    @property
    def report(self) -> ReportSettings:
        """The ``[report]`` table."""
        return self.table("report", ReportSettings)

    @property
    def brokers(self) -> Mapping[str, str]:
        """The provider of each broker, by the name the settings give the broker."""
        named: dict[str, str] = {}
        for name, table in self.tables.get("brokers", {}).items():
            provider = table.get("provider") if isinstance(table, Mapping) else None
            if not isinstance(provider, str) or not provider:
                raise SettingsError(
                    f"brokers.{name} does not say its provider"
                    f" (from {origin_of(f'brokers.{name}', self.origins)})",
                    hint='add a line such as: provider = "ibkr"',
                )
            named[name] = str(provider)
        return named

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names that have a table of their own under one of PLUGIN_TABLES."""
        return tuple(self.tables.get(kind, {}))

    def table(self, path: str, settings_type: type[T]) -> T:
        """Return the table at a dotted path as an instance of an attrs class, strictly."""
        values: Any = self.tables
        for part in path.split("."):
            values = values.get(part, {})
        if not isinstance(values, Mapping):
            raise SettingsError(f"{path} must be a table, not {values!r}")
        if path.startswith("brokers."):
            values = {name: value for name, value in values.items() if name != "provider"}
        return structure(values, settings_type, path, self.origins)

    def effective(
        self, types: Mapping[str, type[attrs.AttrsInstance]] | None = None
    ) -> list[tuple[str, Any, str]]:
        """Return (dotted path, value, origin) of every setting, secrets as ``***``.

        ``types`` adds the tables of plugins: dotted path to settings class.
        """
        rows = []
        for path, settings_type in {**CORE_TABLES, **(types or {})}.items():
            instance = self.table(path, settings_type)
            if path.startswith("brokers."):
                provider = self.brokers[path.split(".")[1]]
                rows.append((f"{path}.provider", provider, self.origins[f"{path}.provider"]))
            for dotted, value in _leaves(path, instance, deep=path in CORE_TABLES):
                origin = origin_of(dotted, self.origins, "default")
                rows.append((dotted, hidden(dotted.rpartition(".")[2], value), origin))
        return rows

    def _check_tables(self) -> None:
        known = (*CORE_TABLES, *PLUGIN_TABLES)
        for name, table in self.tables.items():
            if name not in known:
                raise SettingsError(
                    f"[{name}] is not a settings table{did_you_mean(name, known)}"
                    f" (from {origin_of(name, self.origins)})",
                    hint="run 'alluse config show' to see all tables",
                )
            if not isinstance(table, Mapping):
                raise SettingsError(
                    f"{name} must be a table, not {table!r} (from {origin_of(name, self.origins)})"
                )
            if name in CORE_TABLES:
                self.table(name, CORE_TABLES[name])
        for kind in PLUGIN_TABLES:
            for name, table in self.tables.get(kind, {}).items():
                if not isinstance(table, Mapping):
                    raise SettingsError(
                        f"{kind}.{name} must be a table, not {table!r}"
                        f" (from {origin_of(f'{kind}.{name}', self.origins)})"
                    )
                # The name becomes the name of a folder in the state folder.
                if not _PLAIN_NAME.fullmatch(name):
                    raise SettingsError(
                        f"[{kind}.{name!r}] is no plain name"
                        f" (from {origin_of(f'{kind}.{name}', self.origins)})",
                        hint="use letters, digits, '_', '-' and '.', a letter or digit first",
                    )


def _files(source: Path | str | None, environ: Mapping[str, str]) -> list[Path]:
    user = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "alluse.toml"
    files = [user] if user.is_file() else []
    if source is not None:
        path = Path(source)
        if path.is_dir():
            raise SettingsError(f"settings file {str(path)!r} is a folder")
        if not path.exists():
            raise SettingsError(
                f"settings file {str(path)!r} does not exist",
                hint="run 'alluse config init' to write one",
            )
        return [*files, path]
    project = Path("alluse.toml")
    return [*files, project] if project.is_file() else files


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None


def _check_underscores(environ: Mapping[str, str]) -> None:
    for name in environ:
        section = name.removeprefix("ALLUSE_").split("_")[0].lower()
        known = section in CORE_TABLES or section in PLUGIN_TABLES
        if name.startswith(f"ALLUSE_{section.upper()}_") and "__" not in name and known:
            meant = name.replace(f"_{section.upper()}_", f"_{section.upper()}__", 1)
            raise SettingsError(
                f"the environment's {name} is not a setting; did you mean {meant}?",
                hint="two underscores part a section from its key: ALLUSE_SECTION__KEY",
            )


def _given_case(parts: list[str], tables: Mapping[str, Any]) -> list[str]:
    # A variable's name is upper case throughout, a broker's name is the user's: the spelling
    # that the files use wins.
    found = []
    below: Any = tables
    for part in parts:
        keys = below if isinstance(below, Mapping) else {}
        name = next((key for key in keys if key.lower() == part), part)
        found.append(name)
        below = keys.get(name)
    return found


def _leaves(path: str, instance: Any, *, deep: bool) -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of a table's settings; deep: those of tables within it too."""
    for field in attrs.fields(type(instance)):
        dotted, value = f"{path}.{field.name}", getattr(instance, field.name)
        if deep and attrs.has(type(value)):
            yield from _leaves(dotted, value, deep=True)
        else:
            yield dotted, value


def _nested(parts: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def _merge(
    tables: dict[str, Any],
    origins: dict[str, str],
    new: Mapping[str, Any],
    origin: str,
    path: str = "",
) -> None:
    for name, value in new.items():
        if not isinstance(name, str):
            raise SettingsError(f"settings have names, not {name!r} (from {origin})")
        dotted = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            held = tables.get(name)
            below = tables[name] = dict(held) if isinstance(held, Mapping) else {}
            _merge(below, origins, value, origin, dotted)
        else:
            tables[name] = value
            origins[dotted] = origin
