"""The records that hooks yield, and the context that a plugin's object is opened with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    # Only annotations need these, and 'alluse --help' imports every plugin's registration.
    from alluse_core.clock import Clock
    from alluse_core.model import Evidence
    from alluse_core.ports import Pacer
    from alluse_core.telemetry import Registry

P_port = TypeVar("P_port")


@attrs.frozen
class NoSettings:
    """The settings of a provider that has none."""


@attrs.frozen
class Context:
    """What an object of a plugin is opened with; there are no globals.

    ``settings`` is an instance of the provider's ``settings_type``. ``name`` is the name the
    settings gave this instance (a broker ``[brokers.main]`` is "main"), otherwise the
    provider's. ``state_dir`` exists and is the object's own. ``secret(name)`` returns a secret or
    None. ``evidence`` and ``pacer`` are for brokers; elsewhere evidence goes nowhere and every
    turn is immediate.
    """

    name: str
    clock: Clock
    telemetry: Registry
    settings: object
    state_dir: Path
    secret: Callable[[str], str | None]
    evidence: Callable[[Evidence], None]
    pacer: Pacer


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
