"""The demo's one incident: chosen by the seed, injected through the gateway's control port."""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs

from alluse_demo.gateway import GatewayProcess


class IncidentKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    REJECTS = "rejects"
    LATENCY = "latency"


@attrs.frozen
class Incident:
    """One incident: ``at`` and ``until`` are seconds after the session's start."""

    kind: IncidentKind
    at: float
    until: float

    @property
    def text(self) -> str:
        """What the person at the screen reads about it."""
        return {
            IncidentKind.DROP: "the gateway drops every connection and refuses new ones",
            IncidentKind.REJECTS: "the gateway rejects new orders with error 201",
            IncidentKind.LATENCY: "the gateway answers orders late",
        }[self.kind]


def plan(seed: int, seconds: float, kind: IncidentKind | None = None) -> Incident:
    """Return the incident of a session: in its second quarter, over well before its end."""
    rng = random.Random(seed)
    chosen = kind or rng.choice(list(IncidentKind))
    at = seconds * rng.uniform(0.25, 0.35)
    return Incident(chosen, at, at + min(8.0, seconds * 0.15))


async def begin(incident: Incident, gateway: GatewayProcess) -> None:
    """Inject it."""
    for command in _BEGIN[incident.kind]:
        await gateway.control(command)


async def end(incident: Incident, gateway: GatewayProcess) -> None:
    """Take it back."""
    for command in _END[incident.kind]:
        await gateway.control(command)


_BEGIN: Mapping[IncidentKind, tuple[Mapping[str, Any], ...]] = {
    IncidentKind.DROP: ({"do": "pause_listening"}, {"do": "drop"}),
    IncidentKind.REJECTS: ({"do": "reject", "count": 1000},),
    IncidentKind.LATENCY: ({"do": "delay_acks", "seconds": 0.4},),
}
_END: Mapping[IncidentKind, tuple[Mapping[str, Any], ...]] = {
    IncidentKind.DROP: ({"do": "resume_listening"},),
    IncidentKind.REJECTS: ({"do": "reject", "count": 0},),
    IncidentKind.LATENCY: ({"do": "delay_acks", "seconds": 0.0},),
}
