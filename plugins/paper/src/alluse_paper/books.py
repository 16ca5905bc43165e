"""The books of everything that is listed, opened when somebody first asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from alluse_core.errors import InstrumentNotFound
from alluse_core.model.instrument import Instrument
from alluse_paper.book import Book
from alluse_paper.catalog import Catalog
from alluse_paper.combos import ComboBook
from alluse_paper.fill_model import FillModel
from alluse_paper.market import NAN, Listing, TopOfBook
from alluse_paper.working import Working


class Books:
    """One book for each listing; a combo's is moved by the books of its legs.

    ``filled`` and ``triggered`` are what a book calls when it fills an order or hits a stop.
    """

    def __init__(
        self,
        catalog: Catalog,
        model: FillModel,
        filled: Callable[[Working, Decimal, Decimal], None],
        triggered: Callable[[Working], None],
    ) -> None:
        self._catalog = catalog
        self._model = model
        self._filled = filled
        self._triggered = triggered
        self._books: dict[Instrument, Book] = {}
        self._combos: dict[Instrument, tuple[ComboBook, ...]] = {}

    def of(self, instrument: Instrument) -> Book:
        """Return the book of ``instrument``. Raises InstrumentNotFound."""
        book = self._books.get(instrument)
        if book is None:
            listing = self._catalog.resolve(instrument)
            book = self._books.get(listing.instrument)
            if book is None:
                book = self._open(listing)
                self._books[listing.instrument] = book
            self._books[instrument] = book
        return book

    def listed(self, instrument: Instrument) -> Book | None:
        """Return the book of ``instrument``; None where it is not listed."""
        book = self._books.get(instrument)
        if book is None:
            try:
                book = self.of(instrument)
            except InstrumentNotFound:
                return None
        return book

    def top(self, instrument: Instrument) -> TopOfBook | None:
        """Return what is shown of ``instrument`` now; None where it is not listed."""
        book = self.listed(instrument)
        if isinstance(book, ComboBook):
            book.refresh()
        return None if book is None else book.top

    def mark(self, instrument: Instrument) -> float:
        """Return the price at which positions are valued; NaN where there is none."""
        top = self.top(instrument)
        return NAN if top is None else top.mark

    def busy_combos(self, leg: Instrument) -> Iterator[ComboBook]:
        """Yield the combos with this leg in whose books orders stand."""
        for combo in self._combos.get(leg, ()):
            if combo.busy:
                yield combo

    @property
    def any_combos(self) -> bool:
        """Whether a combo's book was opened."""
        return bool(self._combos)

    def _open(self, listing: Listing) -> Book:
        legs = [leg.instrument for leg in listing.instrument.legs]
        if not legs:
            return Book(listing, self._model, self._filled, self._triggered)
        books = [self.of(leg) for leg in legs]
        combo = ComboBook(listing, self._model, self._filled, self._triggered, books)
        for leg in legs:
            self._combos[leg] = (*self._combos.get(leg, ()), combo)
        return combo
