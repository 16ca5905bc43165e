"""The installed client libraries as judges of layouts: what they send, and what they understand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from alluse_gateway import requests as r
from alluse_gateway import wire
from alluse_gateway.decode import decode
from gateway_lab import library
from ibapi.client import EClient
from ibapi.decoder import Decoder
from ibapi.wrapper import EWrapper

Calls = list[tuple[str, tuple[Any, ...]]]


class Told:
    """A wrapper of any library's: keeps every callback's name and arguments."""

    def __init__(self) -> None:
        self.calls: Calls = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.calls.append((name, arguments))

        note.__name__ = name
        return note


def ibapi_is_told(version: int, frame: bytes) -> Calls:
    """Return the callbacks that IBKR's own decoder makes of one frame."""
    told = Told()
    decoder = Decoder(told, version)
    kind, *fields = frame[4:-1].split(b"\0")
    decoder.interpret(tuple(fields), int(kind))
    return told.calls


def ib_is_told(name: str, version: int, frame: bytes) -> Calls:
    """Return the callbacks that ib_insync or ib_async makes of one frame; call it in a loop."""
    library(name)
    told = Told()
    module = __import__(f"{name}.decoder", fromlist=["Decoder"])
    module.Decoder(told, version).interpret(wire.fields_of(frame[4:]))
    return told.calls


class _Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def isConnected(self) -> bool:
        return True

    def sendMsg(self, frame: bytes) -> None:
        self.sent.append(frame)


class Complains(EWrapper):
    """Raises what ibapi's client says against a request before it is sent."""

    def error(self, *arguments: Any) -> None:
        raise AssertionError(f"ibapi refuses to send: {arguments}")


def ibapi_sends(version: int, ask: Callable[[EClient], None]) -> list[str]:
    """Return the fields of the one message that ``ask`` makes IBKR's own client send."""
    client = EClient(Complains())
    client.conn, client.serverVersion_ = _Wire(), version
    client.setConnState(EClient.CONNECTED)
    ask(client)
    (frame,) = client.conn.sent
    return wire.fields_of(frame[4:])


def ib_sends(name: str, version: int, ask: Callable[[Any], None]) -> list[str]:
    """Return the fields that ib_insync or ib_async sends; call it in a loop."""
    lib = library(name)
    client = lib.client.Client(Told())
    client._serverVersion, client.connState = version, client.CONNECTED
    client.conn = _Wire()
    ask(client)
    (frame,) = client.conn.sent
    return wire.fields_of(frame[4:])


def read(version: int, fields: list[str]) -> r.Request:
    """Decode a message as the gateway does."""
    return decode(fields, version)


def sample_arguments(method: Callable[..., Any], samples: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of ``method`` by name; a name without a sample is a test's error."""
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    return {name: samples[name] for name in names}
