"""A book's depth: made of the best prices alone, and its changes lead from one book to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.simulator.book import BOOK_TICKS, Book, BookDepth, changed_levels

UNIT = 100
sides = st.none() | st.integers(1, 20_000)
quantities = st.integers(1, 1_000)
books = st.builds(Book, sides, quantities, sides, quantities, st.just(1))


def depth(name: str = "1/SOL_USDC/depth") -> BookDepth:
    return BookDepth(name, UNIT)


@given(books)
def test_the_best_prices_head_their_sides_and_all_else_stands_behind_them(book: Book) -> None:
    bids, asks = depth().ladder(book)
    assert list(bids) == sorted(bids, reverse=True)
    assert list(asks) == sorted(asks)
    assert next(iter(bids.items()), (None, 0)) == (book.bid, book.bid_quantity if bids else 0)
    assert next(iter(asks.items()), (None, 0)) == (book.ask, book.ask_quantity if asks else 0)
    assert all(price > 0 and quantity > 0 for side in (bids, asks) for price, quantity in side.items())
    assert len(bids) <= BOOK_TICKS
    assert len(asks) <= BOOK_TICKS


@given(books)
def test_it_is_the_same_whenever_one_looks(book: Book) -> None:
    assert depth().ladder(book) == depth().ladder(book)


def test_names_have_books_of_their_own_with_gaps_in_them() -> None:
    book = Book(15_000, 7, 15_001, 9, 1)
    one, other = depth().ladder(book), depth("2/SOL_USDC/depth").ladder(book)
    assert one != other
    assert 50 < len(one.bids) < BOOK_TICKS


@given(books, books)
def test_the_changes_of_a_book_make_the_next_one_of_it(before: Book, after: Book) -> None:
    for old, new in zip(depth().ladder(before), depth().ladder(after), strict=True):
        side = dict(old)
        for price, quantity in changed_levels(old, new):
            assert side.get(price, 0) != quantity, "a change that is none"
            if quantity:
                side[price] = quantity
            else:
                del side[price]
        assert side == new
