"""Small tables that clients ask for, and the requests that this kind of account is refused."""

from __future__ import annotations

from xml.sax.saxutils import escape

from alluse_paper.exchange import Exchange

from alluse_core.model import SecurityType
from alluse_gateway import notices
from alluse_gateway import requests_reference as q
from alluse_gateway.answers import reference as answers
from alluse_gateway.session import Session

_FA_LISTS = {1: "ListOfGroups", 2: "ListOfAllocationProfiles", 3: "ListOfAccountAliases"}
_ADVISOR_PREFIXES = ("F", "DF")
"""How the names of advisors' accounts begin, live and on paper."""

LONGEST_XML = 64 * 1024


class ReferenceDesk:
    """Answers from the listings and the accounts of one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._tables: dict[int, str] = {}

    def advisor_table(self, session: Session, request: q.RequestFA) -> None:
        """Answer requestFA: the table, or 321 to who is no advisor."""
        if self._may(session, -1, request.kind):
            xml = self._tables.get(request.kind) or self._first_table(request.kind)
            session.send(answers.receive_fa(request.kind, xml))

    def replace_advisor_table(self, session: Session, request: q.ReplaceFA) -> None:
        """Answer replaceFA: keep the table and say so, or 321."""
        if not self._may(session, request.request_id, request.kind):
            return
        xml = request.xml
        if not xml.lstrip().startswith("<") or len(xml) > LONGEST_XML:
            session.error(
                request.request_id,
                notices.VALIDATION,
                notices.validation("replaceFA", "this is no XML of the table's kind"),
            )
            return
        self._tables[request.kind] = xml
        session.send(answers.replace_fa_end(request.request_id, "Success"))

    def _may(self, session: Session, request_id: int, kind: int) -> bool:
        names = self._exchange.accounts.names
        if not any(name.startswith(_ADVISOR_PREFIXES) for name in names):
            cause = "FA data operations ignored for non FA customers."
        elif kind not in _FA_LISTS or (kind == 2 and session.version >= 177):
            cause = f"there is no FA table of kind {kind}"
        else:
            return True
        session.error(request_id, notices.VALIDATION, notices.validation("FA", cause))
        return False

    def _first_table(self, kind: int) -> str:
        rows = ""
        if kind == 3:
            rows = "".join(
                f"<AccountAlias><account>{escape(name)}</account>"
                f"<alias>{escape(name)}</alias></AccountAlias>"
                for name in self._exchange.accounts.names
            )
        name = _FA_LISTS[kind]
        return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{rows}</{name}>'

    def soft_dollar_tiers(self, session: Session, request: q.SoftDollarTiers) -> None:
        """Answer reqSoftDollarTiers: none, as for accounts that no broker introduced."""
        session.send(answers.soft_dollar_tiers(request.request_id, ()))

    def family_codes(self, session: Session, request: q.FamilyCodes) -> None:
        """Answer reqFamilyCodes: the accounts, which belong to no family."""
        names = self._exchange.accounts.names
        session.send(answers.family_codes((name, "") for name in names))

    def depth_exchanges(self, session: Session, request: q.DepthExchanges) -> None:
        """Answer reqMktDepthExchanges with the exchanges of the listings."""
        found = {
            (each.primary_exchange, each.instrument.security_type.value)
            for each in self._exchange.listings
            if each.instrument.security_type is not SecurityType.INDEX
        }
        session.send(
            answers.depth_exchanges((name, kind, "", "Deep", 1) for name, kind in sorted(found))
        )

    def smart_components(self, session: Session, request: q.SmartComponents) -> None:
        """Answer reqSmartComponents: there is one exchange map, of the stocks' exchanges."""
        names = {
            each.primary_exchange
            for each in self._exchange.listings
            if each.instrument.security_type is SecurityType.STOCK
        }
        rows = [(bit, name, chr(ord("A") + bit % 26)) for bit, name in enumerate(sorted(names))]
        session.send(answers.smart_components(request.request_id, rows))

    def user_info(self, session: Session, request: q.UserInfo) -> None:
        """Answer reqUserInfo: no white branding."""
        session.send(answers.user_info(request.request_id, ""))

    def wall_street_horizon(self, session: Session, request: q.WallStreetHorizon) -> None:
        """Answer requests for corporate events as without a subscription; cancels are silent."""
        if not request.cancel:
            session.error(request.request_id, notices.NO_NEWS_FEED, "News feed is not allowed.")

    def verify(self, session: Session, request: q.Verify) -> None:
        """Refuse a program's signing in: its intent belongs into the handshake."""
        cause = "Intent to authenticate needs to be expressed during initial connect request."
        session.error(-1, notices.VALIDATION, notices.validation(request.name, cause))
