"""The records that hooks yield, and the context that a plugin's object is opened with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    # Only annotations need these, and 'alluse --help' imports every plugin's registration.
    from alluse_core.clock import Clock
    from alluse_core.model import Evidence, LinkState, OrderState, Outcome, Phase, Verb
    from alluse_core.ports import Classify, Pacer
    from alluse_core.telemetry import Registry

P_port = TypeVar("P_port")


def _knows_no_code(
    code: int | None,
    text: str = "",
    verb: Verb | None = None,
    phase: Phase | None = None,
    order_state: OrderState | None = None,
    link: LinkState | None = None,
) -> Outcome:
    from alluse_core.model import Action, ErrorClass, Outcome

    return Outcome(ErrorClass.UNCLASSIFIED, Action.PROVE, True)


@attrs.frozen
class NoSettings:
    """The settings of a provider that has none."""


@attrs.frozen
class Context:
    """What an object of a plugin is opened with; there are no globals.

    ``settings`` is an instance of the provider's ``settings_type``. ``name`` is the name the
    settings gave this instance (a broker ``[brokers.main]`` is "main"), otherwise the
    provider's. ``state_dir`` exists and is the object's own. ``secret(name)`` returns a secret or
    None. ``evidence``, ``pacer`` and ``classify`` are for brokers; elsewhere evidence goes nowhere,
    every turn is immediate and no code is known. ``classify`` says what a coded message means, by
    the rules of ``[[orders.errors]]`` and ALL-USE's table.
    """

    name: str
    clock: Clock
    telemetry: Registry
    settings: object
    state_dir: Path
    secret: Callable[[str], str | None]
    evidence: Callable[[Evidence], None]
    pacer: Pacer
    classify: Classify = _knows_no_code


@attrs.frozen
class Provider(Generic[P_port]):
    """Offers one named thing; nothing is opened until the settings ask for it.

    ``settings_type`` is an attrs class: its fields are the setting names, its annotations are
    checked strictly, its defaults are the defaults. ``open`` gets a context whose ``settings`` is
    an instance of it, and does the importing of whatever is heavy.
    """

    name: str
    open: Callable[[Context], P_port]
    settings_type: type = NoSettings
    help: str = ""


@attrs.frozen
class Command:
    """A sub-command of ``alluse``, imported when it is called.

    ``name`` may be two words ("orders list") to join a group. ``target`` is
    ``"package.module:attribute"`` of a click command.
    """

    name: str
    help: str
    target: str
