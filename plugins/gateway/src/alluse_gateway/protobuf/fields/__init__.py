"""Every message of the protobuf era: the fields each has, and of which type.

Written as ``name`` for text and ``name:type`` otherwise. Types are int (32 bits), long (64 bits),
double, bool, map (text to text) or another message; ``*`` makes it a list. TWS numbers the fields
of every message from 1 on without a gap, so a field's number is its place in the row.
"""

from __future__ import annotations

from alluse_gateway.protobuf.fields.accounts import ACCOUNTS
from alluse_gateway.protobuf.fields.contracts import CONTRACTS
from alluse_gateway.protobuf.fields.history import HISTORY
from alluse_gateway.protobuf.fields.market_data import MARKET_DATA
from alluse_gateway.protobuf.fields.orders import ORDERS
from alluse_gateway.protobuf.fields.reference import REFERENCE
from alluse_gateway.protobuf.fields.system import SYSTEM

TABLE = {**CONTRACTS, **ORDERS, **MARKET_DATA, **HISTORY, **ACCOUNTS, **REFERENCE, **SYSTEM}
"""The row of each message, by the message's name."""
