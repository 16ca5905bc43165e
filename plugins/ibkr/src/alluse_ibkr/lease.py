"""A borrowed connection, with a token that a reconnect or a takeover makes worthless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from alluse_core.errors import BrokerUnavailable

if TYPE_CHECKING:
    from alluse_ibkr.asking import Asking
    from alluse_ibkr.session import Session


class StaleLease(BrokerUnavailable):
    """The connection was made anew, or its role taken over, since it was borrowed."""


@attrs.frozen
class Lease:
    """One piece of work's hold on a connection.

    ``token`` is higher than that of every lease of the socket before. What was begun under an
    old one (a cancel of a request, the second half of a question) means nothing on the next
    socket, whose numbers are others: it is refused and nothing is sent.
    """

    connection: Asking
    session: Session
    token: int

    @property
    def valid(self) -> bool:
        """Whether work under this lease may still be sent."""
        return self.token == self.connection.token and self.session.ready

    @property
    def client(self) -> Any:
        """The library's client, to send with. Raises StaleLease."""
        if not self.valid:
            raise StaleLease(
                f"the {self.connection.role} connection was borrowed under token {self.token}, "
                f"and its token is {self.connection.token} now: nothing was sent"
            )
        return self.session.client
