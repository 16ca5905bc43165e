"""TWS's display groups: the windows of one colour, which show the same contract."""

from __future__ import annotations

from alluse_gateway import notices
from alluse_gateway import requests_reference as q
from alluse_gateway.answers import reference as answers
from alluse_gateway.session import Session

GROUPS = range(1, 8)
NOTHING = "none"
MOST_SUBSCRIPTIONS = 100
"""Of one client. TWS names no limit; memory needs one."""

LONGEST_CONTRACT = 100


class DisplayGroupDesk:
    """Keeps what each group shows, and tells its subscribers when that changes."""

    def __init__(self) -> None:
        self._shown: dict[int, str] = {}
        self._subscriptions: dict[tuple[Session, int], int] = {}

    def groups(self, session: Session, request: q.DisplayGroups) -> None:
        """Answer queryDisplayGroups."""
        session.send(answers.display_groups(request.request_id, GROUPS))

    def subscribe(self, session: Session, request: q.SubscribeGroup) -> None:
        """Answer subscribeToGroupEvents with what the group shows, or 321."""
        number, group = request.request_id, request.group
        mine = sum(owner is session for owner, _ in self._subscriptions)
        if group not in GROUPS or mine >= MOST_SUBSCRIPTIONS:
            self._refuse(session, number, f"there is no display group {group} to subscribe to")
            return
        self._subscriptions[(session, number)] = group
        session.send(answers.display_group_updated(number, self._shown.get(group, NOTHING)))

    def update(self, session: Session, request: q.UpdateGroup) -> None:
        """Answer updateDisplayGroup: every subscriber of the group hears of its contract."""
        group = self._subscriptions.get((session, request.request_id))
        if group is None or len(request.contract) > LONGEST_CONTRACT:
            self._refuse(session, request.request_id, "no such display group subscription")
            return
        self._shown[group] = request.contract or NOTHING
        for (reader, number), other in self._subscriptions.items():
            if other == group:
                reader.send(answers.display_group_updated(number, self._shown[group]))

    def unsubscribe(self, session: Session, request: q.UnsubscribeGroup) -> None:
        """End subscribeToGroupEvents; an unknown one is no error."""
        self._subscriptions.pop((session, request.request_id), None)

    def forget(self, session: Session) -> None:
        """A client is gone."""
        for key in [key for key in self._subscriptions if key[0] is session]:
            del self._subscriptions[key]

    def _refuse(self, session: Session, number: int, cause: str) -> None:
        session.error(number, notices.VALIDATION, notices.validation("group", cause))
