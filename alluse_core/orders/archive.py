"""Orders that left memory: read back from the journal when somebody speaks of one again."""

from __future__ import annotations

from alluse_core.errors import JournalCorrupt, OrderNotFound
from alluse_core.orders.book import Book
from alluse_core.orders.identity import References
from alluse_core.orders.journal import Journal
from alluse_core.orders.live import ORPHAN, LiveOrder
from alluse_core.orders.reader import JournalReader
from alluse_core.orders.recovery import rebuild


class Archive:
    """Looks orders up in the journal; one that is found stands in the book again."""

    def __init__(self, book: Book, journal: Journal, references: References) -> None:
        self._book = book
        self._journal = journal
        self._references = references
        self._reader: JournalReader | None = None
        self._adopted: bool | None = None

    def get(self, key: str) -> LiveOrder | None:
        """Return the order of a key, from memory or from the journal."""
        return self._book.get(key) or self.by_key(key)

    def by_key(self, key: str) -> LiveOrder | None:
        """Return the order that the journal holds under a key, None where it holds none.

        Raises JournalCorrupt where one index of the journal has the key and another has not.
        """
        if not self._holds_more():
            return None
        live = self._restore(key)
        if live is None and not self._journal.indexes_sound:
            self._refuse_missed(key)
        return live

    def _refuse_missed(self, key: str) -> None:
        """Raise JournalCorrupt where only the index of orderRefs knows a key.

        A damaged page of the other one would have the order sent twice.
        """
        for reference in self._references.all_of(key):
            if self.reader().key_of(reference) == key:
                raise JournalCorrupt(
                    f"an index of the journal lacks key {key!r}, which was used before",
                    hint="nothing was sent; a new start makes the indexes anew",
                )

    def by_reference(self, reference: str) -> LiveOrder | None:
        """Return the order that the journal holds under an orderRef, None where it holds none."""
        key = self.reader().key_of(reference) if self._holds_more() else None
        return None if key is None else self._restore(key)

    def adopted(self, reference: str) -> LiveOrder | None:
        """Return the order that the broker knew by an orderRef and the journal did not."""
        live = self._book.by_reference(reference)
        if live is not None or not self.has_adopted():
            return live
        return self._restore(ORPHAN + reference)

    def has_adopted(self) -> bool:
        """Whether the journal ever lost an order that the broker knew."""
        if self._adopted is None:
            beyond = ORPHAN[:-1] + chr(ord(ORPHAN[-1]) + 1)
            self._adopted = self._holds_more() and self.reader().holds_key_from(ORPHAN, beyond)
        return self._adopted or self._book.adopted

    def reader(self) -> JournalReader:
        """Return the journal, opened for reading until :meth:`close`."""
        if self._reader is None:
            self._reader = self._journal.read()
        return self._reader

    def close(self) -> None:
        """Close the journal; the next question opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _holds_more(self) -> bool:
        return bool(self._book.forgotten or self._journal.orders_ever)

    def _restore(self, key: str) -> LiveOrder | None:
        try:
            story = self.reader().story(key)
        except OrderNotFound:
            return None
        live = rebuild(story)
        if live is not None:
            self._book.add(live)
        return live
