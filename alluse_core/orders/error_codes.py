"""The table of error codes: what a broker's number means for an order.

Codes are Interactive Brokers' (TWS API, system messages and error codes); a broker with other
codes brings its own table. Rows are tried in order and the first that fits decides.
"""

from __future__ import annotations

from alluse_core.model import Action, ErrorClass, Outcome, Verb
from alluse_core.orders.error_rules import Rule

_PLACE: frozenset[Verb | None] = frozenset({Verb.PLACE})
_COMMANDS: frozenset[Verb | None] = frozenset({Verb.MODIFY, Verb.CANCEL})
_CANCEL: frozenset[Verb | None] = frozenset({Verb.CANCEL})
_NO_ORDER: frozenset[Verb | None] = frozenset({None})
_DEFINE: frozenset[Verb | None] = frozenset({Verb.DEFINE})
_HISTORY: frozenset[Verb | None] = frozenset({Verb.HISTORY})

_REFUSED_CODES = (106, 107, 109, 110, 111, 113, 200, 201, 203, 321, 388, 430, 434, 460, 463, 10268)
_INFO = Outcome(ErrorClass.INFO, Action.LOG)
_AMBIGUOUS = Outcome(ErrorClass.AMBIGUOUS, Action.UNKNOWN, True)

TABLE: tuple[Rule, ...] = (
    Rule(
        (2104, 2106, 2107, 2108, 2119, 2158, 2159),
        _INFO,
        reason="a farm is connected, connecting, or idle until it is needed",
    ),
    Rule(
        (399, 10349),
        _INFO,
        reason="the order is live; its terms may have been changed: compare the echo",
    ),
    Rule(
        (165, 2100, 2109, 2137, 2152, 2174, 2176, 10167),
        _INFO,
        reason="a statement that changes no order",
    ),
    Rule(
        (10090,),
        _INFO,
        reason="a part of the data is not subscribed to; the rest of the stream goes on",
    ),
    Rule((202,), _INFO, _CANCEL, reason="it confirms the cancel that was asked for"),
    Rule(
        (202,),
        Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL_ALARM, True),
        reason="nobody asked for a cancel: the broker or the venue threw the order out",
    ),
    Rule(
        (404,),
        Outcome(ErrorClass.HELD, Action.HOLD),
        reason="alive at the broker, waiting for shares to be located",
    ),
    Rule(
        _REFUSED_CODES,
        Outcome(ErrorClass.DEFINITE_REJECT, Action.TERMINAL),
        _PLACE,
        reason="the order was refused before it worked",
    ),
    Rule(
        _REFUSED_CODES,
        Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True),
        _COMMANDS,
        reason="the command was refused; the order was live before it and stays",
    ),
    Rule(
        (200,),
        Outcome(ErrorClass.NOT_FOUND, Action.LOG),
        _DEFINE,
        reason="no instrument fits what was asked about",
    ),
    Rule(
        _REFUSED_CODES,
        Outcome(ErrorClass.COMMAND_REJECT, Action.LOG),
        _NO_ORDER,
        reason="a request that is about no order was refused",
    ),
    Rule(
        (104, 105, 136, 161, 10148),
        Outcome(ErrorClass.COMMAND_REJECT, Action.KEEP_STATE, True),
        reason="the order cannot be changed or cancelled now; it keeps its state",
    ),
    Rule(
        (135, 10147),
        Outcome(ErrorClass.NOT_FOUND, Action.PROVE, True),
        reason="the id is not known to who answered: no proof that the order does not live",
    ),
    Rule(
        (103,),
        _AMBIGUOUS,
        reason="the id was seen before: the earlier message may have reached the broker",
    ),
    Rule(
        (505,),
        Outcome(ErrorClass.COMMAND_REJECT, Action.LOG),
        _NO_ORDER,
        reason="a request of a kind that the server does not know",
    ),
    Rule(
        (320, 322, 505),
        _AMBIGUOUS,
        reason="the server stumbled over what it had read: the order may be live",
    ),
    Rule(
        (100,),
        Outcome(ErrorClass.PACING, Action.BACK_OFF, True),
        reason="more than 50 messages in a second; whether this one was taken is not said",
    ),
    Rule(
        (162,),
        Outcome(ErrorClass.PACING, Action.BACK_OFF),
        text="pacing",
        reason="history is asked for too often; 162 means pacing by its text only",
    ),
    Rule(
        (162,),
        Outcome(ErrorClass.NOT_FOUND, Action.LOG),
        _HISTORY,
        text="no data",
        reason="there is no history of what was asked about; 162 means this by its text only",
    ),
    Rule(
        (162, 300, 366),
        Outcome(ErrorClass.COMMAND_REJECT, Action.LOG),
        reason="a data request without an answer, or one that had ended",
    ),
    Rule(
        (420,),
        Outcome(ErrorClass.PACING, Action.BACK_OFF),
        reason="real-time bars are asked for too often",
    ),
    Rule(
        (1100,),
        Outcome(ErrorClass.LINK, Action.GATE),
        reason="the broker lost its servers; the socket to it stands",
    ),
    Rule(
        (1101,),
        Outcome(ErrorClass.LINK, Action.RECONCILE_RESUBSCRIBE, True),
        reason="the servers are back, the subscriptions are gone",
    ),
    Rule(
        (1102,),
        Outcome(ErrorClass.LINK, Action.RECONCILE, True),
        reason="the servers are back with the subscriptions",
    ),
    Rule(
        (502, 503, 504, 507, 1300),
        Outcome(ErrorClass.SOCKET, Action.RECONNECT, True),
        reason="the socket is gone, refused, out of step, or moved to another port",
    ),
    Rule(
        (2103, 2105, 2110, 2157),
        Outcome(ErrorClass.STREAM, Action.MARK_DATA),
        reason="a farm is broken; it restores itself, and orders go on",
    ),
    Rule(
        (10197,),
        Outcome(ErrorClass.STREAM, Action.GATE_AND_PAGE),
        reason="another session of this login takes the market data",
    ),
    Rule(
        (316, 317, 10182, 10225),
        Outcome(ErrorClass.STREAM, Action.RESUBSCRIBE),
        reason="this stream stopped or must begin again",
    ),
    Rule(
        (101, 309, 354, 10089, 10091, 10168, 10186, 10187, 10190),
        Outcome(ErrorClass.STREAM, Action.STREAM_REFUSED),
        reason="not subscribed to, or no line is free: asking again unchanged does not help",
    ),
    Rule(
        (326,),
        Outcome(ErrorClass.SESSION, Action.GATE_AND_PAGE),
        reason="the client id is in use; only that id may cancel or change its orders",
    ),
)
