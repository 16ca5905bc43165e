"""Writes docs/reference from the code: hooks, settings, commands, errors.

``python docs/generate.py`` writes all pages; page names as arguments narrow it, ``--out`` writes
elsewhere. Only this project's own plugins are described, whatever else is installed.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, Final

import attrs
import click

from alluse_core import builtin, errors, hookspecs
from alluse_core.errors import AllUseError
from alluse_core.host import KINDS, Host, PluginState
from alluse_core.installation import TABLES
from alluse_core.orders import outcomes
from alluse_core.providers import Command, NoSettings
from alluse_core.settings import CORE_TABLES, ErrorRule, RuleClass, RuleVerb, is_secret

REFERENCE: Final = Path(__file__).resolve().parent / "reference"
_NOTE = "<!-- Written by docs/generate.py from the code: change the code, then run `make docs`. -->"


def hooks_page() -> Iterator[str]:
    """Yield the lines of hooks.md."""
    yield from _head("Hooks", _doc(hookspecs))
    yield "A plugin implements a hook as a function of that name, marked `@hookimpl`, in the module"
    yield "that its entry point in the group `alluse` names."
    kinds = {hook: kind for kind, hook in KINDS.items()}
    for name, hook in vars(hookspecs).items():
        if not isinstance(hook, FunctionType) or hook.__module__ != hookspecs.__name__:
            continue
        annotation = str(inspect.signature(hook).return_annotation)
        yields = annotation.removeprefix("Iterable[").removesuffix("]")
        text, _, _ = _doc(hook).partition(">>> ")
        example = doctest.DocTestParser().get_examples(inspect.getdoc(hook) or "")
        yield from ("", f"## `{name}`", "")
        yield f"Yields `{yields}`; `alluse plugins list` shows it as *{kinds[name]}*."
        yield from ("", text.strip(), "", "```python")
        yield "".join(item.source for item in example).rstrip()
        yield "```"


def errors_page() -> Iterator[str]:
    """Yield the lines of errors.md."""
    yield from _head("Errors", _doc(errors))
    yield "`hint` is printed by the command line as the way out. `alluse_core.errors` holds them"
    yield "all; `except AllUseError` catches them all."
    yield from ("", "| error | is a | exit code | raised when |", "|---|---|---|---|")
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, AllUseError):
            parent = kind.__mro__[1].__name__
            yield f"| `{name}` | `{parent}` | {kind.exit_code} | {_cell(_doc(kind))} |"


def error_codes_page() -> Iterator[str]:
    """Yield the lines of error-codes.md."""
    yield from _head("Error codes of the broker", _doc(outcomes))
    yield "Rows are tried from the top; the first that fits decides. *About* is what was in flight"
    yield "for the order that the error names. A code in no row is `unclassified`: evidence is"
    yield "asked for, and `alluse orders unclassified` lists it. `alluse orders classify CODE` says"
    yield "which row decides and why."
    yield from ("", "| codes | about | text | class | action | evidence asked | why |")
    yield "|---|---|---|---|---|---|---|"
    for rule in outcomes.TABLE:
        yield _row_of(rule)
    for title, kind in (("Classes", outcomes.ErrorClass), ("Actions", outcomes.Action)):
        yield from ("", f"## {title}", "", "| name | meaning |", "|---|---|")
        for name, meaning in _members(kind):
            yield f"| `{name}` | {_cell(_markdown(meaning))} |"
    yield from ("", "## Rules of your own: `[[orders.errors]]`", "", _doc_of_table(ErrorRule))
    yield from _fields(ErrorRule)
    for kind in (RuleClass, RuleVerb):
        words = ", ".join(f"`{member.value}`" for member in kind)
        yield from ("", f"`{kind.__name__}`: {words}.")
    yield from ("", "```toml", "[[orders.errors]]", "codes = [10311]", 'text = "directly routed"')
    yield from ('verbs = ["place"]', 'error_class = "held"')
    yield from ('reason = "precaution of our TWS: it waits for a click there"', "```")
    yield from ("", "A rule weighs the broker's message. A *status* of the broker's is evidence of")
    yield "its own: `ibkr` takes `Inactive` beside a code that the table above calls a"
    yield "`definite_reject` for a refusal, whatever a rule says of the code."


def _row_of(rule: outcomes.Rule) -> str:
    codes = ", ".join(str(code) for code in sorted(rule.codes))
    verbs = sorted("no order" if verb is None else verb.value for verb in rule.verbs or ())
    outcome = rule.outcome
    cells = (
        codes,
        ", ".join(verbs) or "anything",
        f"has `{rule.text}`" if rule.text else "any",
        f"`{outcome.error_class.value}`",
        f"`{outcome.action.value}`",
        "yes" if outcome.evidence_needed else "no",
        _cell(rule.reason),
    )
    return f"| {' | '.join(cells)} |"


def _members(kind: type[Enum]) -> Iterator[tuple[str, str]]:
    """Yield each member's value with the string that stands below it in the source."""
    (body,) = (
        node for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)
    )
    for line, after in pairwise([*body.body, ast.Pass()]):
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            said = after.value if isinstance(after, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) else ""
            yield str(kind[line.targets[0].id].value), inspect.cleandoc(str(text))


def settings_page() -> Iterator[str]:
    """Yield the lines of settings.md."""
    yield from _head("Settings", "")
    yield 'Settings are TOML, read strictly: `"false"` is not a bool and `3.9` not a whole number.'
    yield "Any value may come from the environment, as `ALLUSE_SECTION__KEY`, where everything is"
    yield "text. A flag wins over the environment, that over the project's file, that over the"
    yield "user's, that over the default; `alluse config show --origin` names the winner."
    for path, settings_type in CORE_TABLES.items():
        yield from ("", f"## `[{path}]`", "", _doc_of_table(settings_type))
        yield from _fields(settings_type)
        for field in attrs.fields(settings_type):
            inner = type(field.default)
            if attrs.has(inner) and inner is not attrs.Factory:
                yield from ("", f"## `[{path}.{field.name}]`", "", _doc_of_table(inner))
                yield from _fields(inner)
    host = _host()
    for kind, table in TABLES.items():
        for name in host.names(kind):
            yield from _provider(host, kind, table, name)


def commands_page() -> Iterator[str]:
    """Yield the lines of commands.md."""
    yield from _head("Commands", "")
    yield "Exit codes: 0 ok, 1 failure, 2 usage, 3 settings, 4 broker or network, 5 refused by"
    yield "risk, 6 findings, 130 interrupted. Data goes to stdout, words for people to stderr."
    yield "`ALLUSE_DEBUG=1` lets the traceback of an error through, `ALLUSE_SAFE_MODE=1` loads this"
    yield "project's own plugins only."
    for record in sorted(_host().commands(), key=lambda record: record.name):
        command = _imported(record)
        yield from _command(record.name, record.help, command)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                member = command.get_command(context, name)
                assert member is not None
                yield from _command(f"{record.name} {name}", "", member)


def _command(name: str, help_text: str, command: click.Command) -> Iterator[str]:
    arguments = [item for item in command.params if isinstance(item, click.Argument)]
    options = [item for item in command.params if isinstance(item, click.Option)]
    words = "".join(f" {_argument(item)}" for item in arguments)
    yield from ("", f"## `alluse {name}{words}`", "")
    yield _markdown(inspect.cleandoc(command.help or help_text))
    if options:
        yield from ("", "| option | takes | meaning |", "|---|---|---|")
    for item in options:
        names = ", ".join(f"`{each}`" for each in (*item.opts, *item.secondary_opts))
        yield f"| {names} | {_takes(item)} | {_cell(item.help or '')}{_default(item)} |"


def ledger_page() -> Iterator[str]:
    """Yield the lines of gateway-ledger.md."""
    from alluse_gateway import truth
    from alluse_gateway.ledger_events import EVENTS

    yield from _head("The simulated gateway's ledger", "")
    yield "What the gateway saw and did, in order: in memory as `gateway.ledger`, on the control"
    yield "port by `ledger`, and as JSON lines in the file of `alluse gateway --ledger FILE`. Every"
    yield "entry has `seq` (from 1), `at` (epoch seconds) and `event`; quantities and prices are"
    yield "text in the file. What became of an order is noted when it does, whatever clients are"
    yield "told of it and when."
    yield from ("", "| event | says | facts |", "|---|---|---|")
    for event, kind in EVENTS.items():
        facts = ", ".join(f"`{each}`" for each in kind.facts)
        more = f"{facts}, and its arguments" if kind.open else facts
        yield f"| `{event}` | {_cell(kind.meaning)} | {more} |"
    yield from ("", "## The truth of every order", "", _doc(truth))
    for shape in (truth.OrderTruth, truth.ExecutionTruth):
        yield from ("", f"### `{shape.__name__}`", "", _doc(shape))
        yield from _fields(shape)


PAGES: Final[Mapping[str, Callable[[], Iterator[str]]]] = MappingProxyType(
    {
        "hooks": hooks_page,
        "errors": errors_page,
        "error-codes": error_codes_page,
        "settings": settings_page,
        "commands": commands_page,
        "gateway-ledger": ledger_page,
    }
)


def page(name: str) -> str:
    """Return one page's text. Raises PluginError where a command or plugin cannot be loaded."""
    return "\n".join(PAGES[name]()) + "\n"


def _head(title: str, text: str) -> Iterator[str]:
    yield from (f"# {title}", "", _NOTE, "")
    if text:
        yield from (text, "")


def _host() -> Host:
    host = Host(built_in=(builtin,), safe_mode=True)
    for info in host.plugins:
        if info.state is PluginState.FAILED:
            raise errors.PluginError(f"plugin {info.name!r}: {info.error}")
    return host


def _provider(host: Host, kind: str, table: str, name: str) -> Iterator[str]:
    provider = host.provider(kind, name)
    broker = kind == "broker"
    yield from ("", f"## `[{table}.{'NAME' if broker else name}]`", "")
    yield f"{kind.capitalize()} `{name}`" + (f": {provider.help}." if provider.help else ".")
    if broker:
        yield f'`NAME` is yours; the table holds `provider = "{name}"`.'
    if provider.settings_type is NoSettings:
        yield "It takes no settings."
        return
    yield from ("", _doc_of_table(provider.settings_type))
    yield from _fields(provider.settings_type)


def _fields(settings_type: type[attrs.AttrsInstance]) -> Iterator[str]:
    yield from ("", "| setting | type | default |", "|---|---|---|")
    for field in attrs.fields(settings_type):
        default = field.default
        if attrs.has(type(default)) and type(default) is not attrs.Factory:
            # A table within the table, which has a heading of its own.
            continue
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        shown = "required" if default is attrs.NOTHING else f"`{_toml(default)}`"
        hidden = ", shown as `***`" if is_secret(field.name) else ""
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        # Annotations may have been resolved by whoever read settings before: drop module names.
        kind = re.sub(r"\b(?:\w+\.)+(\w)", r"\1", kind)
        yield f"| `{field.name}` | `{_cell(kind)}`{hidden} | {shown} |"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        return "none"
    return str(value) if isinstance(value, int | float | Decimal) else f'"{value}"'


def _imported(record: Command) -> click.Command:
    module, _, attribute = record.target.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise errors.PluginError(f"command {record.name!r}: {error}") from error
    assert isinstance(command, click.Command)
    return command


def _argument(item: click.Argument) -> str:
    word = str(item.human_readable_name).upper() + ("..." if item.nargs == -1 else "")
    return word if item.required else f"[{word}]"


def _takes(item: click.Option) -> str:
    if item.is_flag:
        return "nothing"
    if isinstance(item.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in item.type.choices)
    return f"`{item.metavar or item.type.name.upper()}`"


def _default(item: click.Option) -> str:
    plain = isinstance(item.default, int | float | str) and not isinstance(item.default, bool)
    return f" Default: `{item.default}`." if plain and item.default != "" else ""


def _doc_of_table(settings_type: type) -> str:
    # These docstrings begin with the table's name in brackets, which is the heading here.
    text = re.sub(r"^`\[[^`]*`: *", "", _doc(settings_type))
    return text[:1].upper() + text[1:]


def _doc(item: Any) -> str:
    return _markdown(inspect.getdoc(item) or "")


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the pages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PAGES)}")
    parser.add_argument("--out", type=Path, default=REFERENCE)
    given = parser.parse_args()
    unknown = sorted(set(given.pages) - set(PAGES))
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(PAGES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.pages or PAGES:
        (given.out / f"{name}.md").write_text(page(name), "utf-8")


if __name__ == "__main__":
    main()
