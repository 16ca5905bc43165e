"""Message classes made from the table of fields, in a pool of their own.

The pool is not the process's: an ``ibapi`` imported beside this package registers messages of the
same names in that one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from alluse_gateway.protobuf.fields import TABLE

_PACKAGE = "alluse.tws"
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _FIELD.TYPE_STRING,
    "int": _FIELD.TYPE_INT32,
    "long": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "bool": _FIELD.TYPE_BOOL,
}


@attrs.frozen
class Field:
    """A field as its row says it: ``kind`` is a scalar's name, ``map``, or a message's name."""

    number: int
    name: str
    kind: str
    repeated: bool

    @property
    def is_message(self) -> bool:
        """Whether the field holds another message, or a list of them."""
        return self.kind not in _TYPES and self.kind != "map"


def fields_of(row: str) -> dict[str, Field]:
    """Read one row of the table; the fields by their name."""
    fields = {}
    for number, written in enumerate(row.split(), start=1):
        name, _, kind = written.partition(":")
        repeated = kind.endswith("*")
        fields[name] = Field(number, name, kind.rstrip("*") or "string", repeated)
    return fields


@attrs.frozen
class Schema:
    """The fields and the class of each message, by the message's name."""

    fields: dict[str, dict[str, Field]]
    classes: dict[str, type[Message]]


@cache
def schema() -> Schema:
    """Return the schema of the whole table; made once, in a few milliseconds."""
    fields = {name: fields_of(row) for name, row in TABLE.items()}
    described = descriptor_pb2.FileDescriptorProto(
        name="alluse_gateway.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, row in fields.items():
        _describe(described.message_type.add(name=name), row.values())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in fields
    }
    return Schema(fields, classes)


def _describe(message: descriptor_pb2.DescriptorProto, fields: Any) -> None:
    for field in fields:
        described = message.field.add(name=field.name, number=field.number)
        described.label = _FIELD.LABEL_REPEATED if field.repeated else _FIELD.LABEL_OPTIONAL
        if field.kind == "map":
            entry = f"{field.name[0].upper()}{field.name[1:]}Entry"
            described.label = _FIELD.LABEL_REPEATED
            described.type = _FIELD.TYPE_MESSAGE
            described.type_name = f".{_PACKAGE}.{message.name}.{entry}"
            _map_entry(message.nested_type.add(name=entry))
        elif field.is_message:
            described.type = _FIELD.TYPE_MESSAGE
            described.type_name = f".{_PACKAGE}.{field.kind}"
        else:
            described.type = _TYPES[field.kind]
            if not field.repeated:
                # An absent number is another thing than a zero, so every scalar is `optional`.
                described.proto3_optional = True
                described.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")


def _map_entry(entry: descriptor_pb2.DescriptorProto) -> None:
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), start=1):
        entry.field.add(
            name=name, number=number, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL
        )
