"""The catalogue, the terms in old journals, and the house's spread."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from trading_samples import open_command, quote, terms

from exness_streams.domain import codec
from exness_streams.domain.commands import OpenPosition
from exness_streams.domain.instruments import Catalogue, is_symbol, mark_up


@pytest.mark.parametrize(
    ("bid", "ask", "rate", "marked_bid", "marked_ask"),
    [
        ("150", "150.1", "0.001", "149.925", "150.17505"),
        ("100", "100", "0.00000002", "99.999999", "100.000001"),
        # Rounded away from the middle: down to 8 places, or to 8 significant digits where that is finer.
        ("0.33333333", "0.33333333", "0.0003", "0.33328333", "0.33338333"),
        ("0.00001234567", "0.00001234568", "0.01", "0.000012283941", "0.000012407409"),
        ("0.123456789123", "0.123456789124", "0.00000001", "0.12345678", "0.12345679"),
        (None, "150", "0.01", None, "150.75"),
        ("150", None, "0.01", "149.25", None),
        (None, None, "0.01", None, None),
    ],
)
def test_a_quote_is_marked_up(
    bid: str | None, ask: str | None, rate: str, marked_bid: str | None, marked_ask: str | None
) -> None:
    marked = mark_up(quote(bid, ask, 7, price="123.4560"), Decimal(rate))
    assert marked.bid == (None if marked_bid is None else Decimal(marked_bid))
    assert marked.ask == (None if marked_ask is None else Decimal(marked_ask))
    assert (marked.sequence, str(marked.price)) == (7, "123.4560")


def test_without_a_rate_the_quote_is_the_exchanges_digit_for_digit() -> None:
    unmarked = quote("150.100", "150.2000000000001")
    assert mark_up(unmarked, Decimal(0)) is unmarked


def test_terms_of_an_older_journal_are_read_with_what_they_had() -> None:
    written = codec.encode(open_command())
    document = msgspec.json.decode(written)
    for name in ("spread_rate", "tick_size", "step_size"):
        del document["terms"][name]
    old = codec.decode_record(msgspec.json.encode(document))
    assert isinstance(old, OpenPosition)
    assert (old.terms.spread_rate, old.terms.tick_size, old.terms.step_size) == (0, None, None)


def test_replaced_terms_are_found_by_symbol_and_by_asset() -> None:
    catalogue = Catalogue([terms("SOL_USDC"), terms("SOL_USDC_PERP"), terms("AAPL.US_USDC_PERP")])
    for symbol in ("SOL_USDC", "SOL_USDC_PERP", "AAPL.US_USDC_PERP"):
        catalogue.replace(terms(symbol, fee_rate="0.01"))
    assert [one.fee_rate for one in catalogue] == [Decimal("0.01")] * 3
    found = [catalogue.find(name) for name in ("SOL", "SOL_USDC", "SOL_USDC_PERP", "AAPL.US")]
    assert [one and (one.symbol, one.fee_rate) for one in found] == [
        ("SOL_USDC", Decimal("0.01")),
        ("SOL_USDC", Decimal("0.01")),
        ("SOL_USDC_PERP", Decimal("0.01")),
        ("AAPL.US_USDC_PERP", Decimal("0.01")),
    ]
    assert [one.symbol for one in catalogue] == ["SOL_USDC", "SOL_USDC_PERP", "AAPL.US_USDC_PERP"]


def test_only_what_is_on_offer_can_be_replaced() -> None:
    catalogue = Catalogue([terms("SOL_USDC")])
    with pytest.raises(KeyError):
        catalogue.replace(terms("GONE_USDC"))
    with pytest.raises(KeyError):
        catalogue.replace(terms("SOL"))
    assert catalogue.terms_of("SOL") is None
    assert catalogue.terms_of("SOL_USDC") is catalogue.find("SOL")


@pytest.mark.parametrize("text", ["", ".A", "SOL USDC", "SOL\n", "a" * 65, "é"])
def test_what_cannot_be_a_symbol(text: str) -> None:
    assert not is_symbol(text)
