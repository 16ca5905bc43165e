"""Which connections a login makes, and under which client ids."""

from __future__ import annotations

import attrs

from alluse_ibkr.settings import IbkrSettings

IDS_TRIED = 8
"""Client ids that a role other than orders may take, one after the other."""

ORDERS, DATA, SPARE = "orders", "data", "spare"
HISTORY, CONTRACTS, WATCHER = "history", "contracts", "watcher"


@attrs.frozen
class Role:
    """One connection to make: the role that it is for, its name, the client ids to try."""

    kind: str
    name: str
    client_ids: tuple[int, ...]


def plan(settings: IbkrSettings) -> tuple[Role, ...]:
    """Return the connections of these settings, orders first.

    No two roles share a client id, whichever of theirs they end up with.
    """
    kinds = [DATA]
    kinds += [SPARE] * settings.data_spare
    kinds += [HISTORY] * settings.history_connections
    kinds += [CONTRACTS] * settings.contract_connections
    kinds += [WATCHER] * settings.watcher
    first = settings.data_client_id or settings.client_id + 1
    wanted = IDS_TRIED * len(kinds)
    free = [n for n in range(first, first + wanted + 1) if n != settings.client_id][:wanted]
    roles = [Role(ORDERS, ORDERS, (settings.client_id,))]
    counts: dict[str, int] = {}
    for place, kind in enumerate(kinds):
        counts[kind] = counts.get(kind, 0) + 1
        name = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
        roles.append(Role(kind, name, tuple(free[place :: len(kinds)])))
    return tuple(roles)
