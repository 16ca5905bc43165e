"""What can be set for one Interactive Brokers login."""

from __future__ import annotations

import attrs

from alluse_core.errors import SettingsError
from alluse_ibkr.windows import REGIONS, windows_of

MAX_CONNECTIONS = 25
"""Connections of one login here. A TWS takes 32, and people's other programs need some."""

LIBRARIES = ("ib_insync", "ib_async")


@attrs.frozen
class IbkrSettings:
    """One login at TWS or IB Gateway.

    ``client_id`` is fixed for orders: only the id that sent an order may change it.
    ``data_client_id`` 0 means ``client_id + 1``. ``account`` "" trades every account of the
    login. Times are seconds. ``market_data_type``: 1 live, 2 frozen, 3 delayed, 4 delayed-frozen.
    ``max_lines`` is the login's market data lines. ``read_only`` sends no order at all.

    After ``quiet`` seconds without a message on the data connection, streams being open, it is
    asked for the time, so that quotes of a quiet market stay fresh (0: only each ``heartbeat``).
    Keep it below half of the quotes' time to live, which is how often their lines are looked at;
    each such question counts among the 50 messages a second.

    Connections beside those for orders and data, at most 25 in all: with ``data_spare`` a second
    data connection is kept ready and takes the lines over at once; ``history_connections`` and
    ``contract_connections`` ask for bars and definitions beside the lines; a ``watcher`` only asks
    for the time. Each role other than orders may take one of 8 client ids, from
    ``data_client_id`` on.

    A client id that is in use is waited for ``client_id_patience`` seconds: TWS lets go of one
    some seconds after its connection was lost. Processes that share ``client_id_dir`` ("": the
    broker's own state folder) never try each other's ids.

    ``region`` names IBKR's servers, whose published reset windows gate new risk: north-america,
    europe or asia-pacific; "" gates in none. ``restart_at`` is when TWS restarts by itself, as in
    "23:45 America/New_York"; new risk is gated from a minute before to five minutes after.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 17
    data_client_id: int = 0
    library: str = "ib_insync"
    account: str = ""
    connect_timeout: float = 10.0
    request_timeout: float = 15.0
    heartbeat: float = 5.0
    quiet: float = 0.4
    reconnect_min: float = 1.0
    reconnect_max: float = 30.0
    market_data_type: int = 1
    max_lines: int = 100
    read_only: bool = False
    data_spare: bool = False
    history_connections: int = 0
    contract_connections: int = 0
    watcher: bool = False
    client_id_patience: float = 15.0
    client_id_dir: str = ""
    region: str = ""
    restart_at: str = ""

    def __attrs_post_init__(self) -> None:
        if self.library not in LIBRARIES:
            raise SettingsError(
                f"library is {self.library!r}, and must be one of {', '.join(LIBRARIES)}"
            )
        if not 0 < self.port < 65536:
            raise SettingsError(f"port is {self.port}, and must be 1 to 65535")
        if self.client_id < 0 or self.data_client_id < 0:
            raise SettingsError("client_id and data_client_id must not be negative")
        if self.data_client_id and self.data_client_id == self.client_id:
            raise SettingsError("data_client_id must differ from client_id")
        counts = (self.history_connections, self.contract_connections)
        if min(counts) < 0 or sum(counts) + 4 > MAX_CONNECTIONS:
            raise SettingsError(
                f"history_connections and contract_connections are {counts}, and must be 0 or "
                f"more, and at most {MAX_CONNECTIONS - 4} together",
                hint="a TWS takes 32 connections of all its clients, and they share one pacing",
            )
        if not self.client_id_patience >= 0:
            raise SettingsError(
                f"client_id_patience is {self.client_id_patience}, and must not be negative"
            )
        if self.region and self.region not in REGIONS:
            raise SettingsError(
                f"region is {self.region!r}, and must be one of {', '.join(REGIONS)}, or empty"
            )
        try:
            windows_of(self.region, self.restart_at)
        except ValueError as error:
            raise SettingsError(f"restart_at: {error}") from None
        if self.market_data_type not in (1, 2, 3, 4):
            raise SettingsError(f"market_data_type is {self.market_data_type}, and must be 1 to 4")
        times = ("connect_timeout", "request_timeout", "heartbeat", "reconnect_min")
        if not self.quiet >= 0:
            raise SettingsError(f"quiet is {self.quiet}, and must not be negative")
        for name in (*times, "reconnect_max", "max_lines"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, and must be above 0")
