"""A session's messages from server version 201 on.

Every message then begins with its id as four bytes, big-endian. Up to 200 the rest is text as
before; above it is protobuf, and the id is 200 more than the message's own. Which requests a client
sends as protobuf is its own choice by the version; an answer is protobuf from the version on at
which IBKR's are.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs
from google.protobuf.message import DecodeError

from alluse_gateway import requests as r
from alluse_gateway.decode import NAMES, UnknownMessage, UnreadableMessage, decode
from alluse_gateway.protobuf.order_questions import beyond_text
from alluse_gateway.protobuf.questions import questions
from alluse_gateway.protobuf.replies import Reply, replies
from alluse_gateway.wire import FieldError, fields_of

PROTOBUF = 200
"""What is added to the id of a message whose rest is protobuf."""

_PREFIX = struct.Struct(">II")
_WORD = struct.Struct(">I")


class LayoutMismatch(RuntimeError):
    """The text of an answer is not what its row says: one of the two is wrong."""


class ProtobufForm:
    """Reads requests and writes answers in the form of one server version, 201 or later."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._replies: dict[bytes, tuple[int, Reply]] = {
            str(kind).encode(): (kind + PROTOBUF, reply)
            for kind, reply in replies().items()
            if version >= reply.since
        }

    # --- requests ---------------------------------------------------------------------------

    def request(self, payload: bytes) -> r.Request:
        """Return the request that ``payload`` is, the same as its text would make.

        Raises FieldError, UnknownMessage or UnreadableMessage.
        """
        if len(payload) < 4:
            raise FieldError("the message is shorter than the four bytes of its id")
        (kind,) = _WORD.unpack_from(payload)
        body = payload[4:]
        if kind > PROTOBUF:
            return self._from_protobuf(kind - PROTOBUF, body)
        return decode([str(kind), *(fields_of(body) if body else [])], self._version)

    def _from_protobuf(self, kind: int, body: bytes) -> r.Request:
        question = questions().get(kind)
        if question is None:
            raise UnknownMessage(f"unknown message id {kind + PROTOBUF}")
        message = question.message()
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            name = NAMES.get(kind, str(kind))
            raise UnreadableMessage(f"{name}: not a protobuf message: {error}", -1) from error
        request = decode(question.fields(kind, message), self._version)
        if isinstance(request, r.PlaceOrder) and (terms := beyond_text(message)):
            extras = attrs.evolve(request.extras, terms={**request.extras.terms, **terms})
            return attrs.evolve(request, extras=extras)
        return request

    # --- answers ----------------------------------------------------------------------------

    def answer(self, frame: bytes) -> bytes:
        """Return a frame of text in this version's form. Raises LayoutMismatch."""
        end = frame.index(b"\0", 4)
        kind = frame[4:end]
        found = self._replies.get(kind)
        if found is None:
            return _PREFIX.pack(len(frame) - end + 3, int(kind)) + frame[end + 1 :]
        number, reply = found
        message = reply.message()
        text = frame[end + 1 : -1]
        fields = iter(text.decode("utf-8", "surrogateescape").split("\0")) if text else iter(())
        self._read(reply, fields, message, kind)
        body = message.SerializeToString()
        return _PREFIX.pack(len(body) + 4, number) + body

    @staticmethod
    def _read(reply: Reply, fields: Any, message: Any, kind: bytes) -> None:
        try:
            reply.step(fields, message)
        except StopIteration:
            raise LayoutMismatch(f"answer {kind.decode()} ends before its row does") from None
        except (ValueError, KeyError) as error:
            raise LayoutMismatch(f"answer {kind.decode()}: {error}") from error
        if next(fields, None) is not None:
            raise LayoutMismatch(f"answer {kind.decode()} goes on after its row has ended")
