from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exness_streams.market_data.backpack import (
    STREAMS_PER_REQUEST_MAX,
    BookTicker,
    Ignored,
    IgnoreReason,
    Kline,
    MarkPrice,
    StreamError,
    Ticker,
    Trade,
    parse,
    subscribe_requests,
    unsubscribe_requests,
)

# Frames as captured from the exchange.
TICKER = (
    '{"data":{"E":1790134358087727,"V":"154927125.41812","c":"86625","e":"ticker","h":"86812.4",'
    '"l":"85075.4","n":32259,"o":"85486.3","s":"BTC_USDC_PERP","v":"1801.83549"},'
    '"stream":"ticker.BTC_USDC_PERP"}'
)
BOOK = (
    '{"data":{"A":"2.01178","B":"1.94230","E":1790134357267285,"T":1790134357267074,"a":"86656.0",'
    '"b":"86655.9","e":"bookTicker","s":"BTC_USDC_PERP","u":6730019258},"stream":"bookTicker.BTC_USDC_PERP"}'
)
TRADE = (
    '{"data":{"E":1736186248745457,"T":1736186248744398,"a":"113782701997686784",'
    '"b":"113782700596854784","e":"trade","m":true,"p":"218.50","q":"0.07","s":"SOL_USDC","t":341399899},'
    '"stream":"trade.SOL_USDC"}'
)
MARK_PRICE = (
    '{"data":{"E":1790134357847601,"T":1790134357846930,"e":"markPrice","f":"0.00000625","i":"340.52",'
    '"n":1790136000000,"p":"340.43","s":"AAPL.US_USDC_PERP"},"stream":"markPrice.AAPL.US_USDC_PERP"}'
)
KLINE = (
    '{"data":{"E":1790134357847601,"X":false,"c":null,"e":"kline","h":null,"l":null,"n":0,"o":"18.75",'
    '"s":"AAPL.US_USDC_PERP","t":"2026-09-23T03:00:00","T":"2026-09-23T03:01:00","v":"0"},'
    '"stream":"kline.1m.AAPL.US_USDC_PERP"}'
)

CAPTURED = {
    TICKER: Ticker(
        symbol="BTC_USDC_PERP",
        last=Decimal("86625"),
        event_us=1790134358087727,
        first=Decimal("85486.3"),
        high=Decimal("86812.4"),
        low=Decimal("85075.4"),
        volume=Decimal("1801.83549"),
        quote_volume=Decimal("154927125.41812"),
        trades=32259,
    ),
    BOOK: BookTicker(
        symbol="BTC_USDC_PERP",
        bid=Decimal("86655.9"),
        ask=Decimal("86656.0"),
        event_us=1790134357267074,
        update_id=6730019258,
        bid_quantity=Decimal("1.94230"),
        ask_quantity=Decimal("2.01178"),
    ),
    TRADE: Trade(
        symbol="SOL_USDC",
        price=Decimal("218.50"),
        event_us=1736186248744398,
        quantity=Decimal("0.07"),
        trade_id=341399899,
        buyer_is_maker=True,
        buyer_order_id="113782700596854784",
        seller_order_id="113782701997686784",
    ),
    MARK_PRICE: MarkPrice(
        symbol="AAPL.US_USDC_PERP",
        mark=Decimal("340.43"),
        event_us=1790134357846930,
        index=Decimal("340.52"),
        funding_rate=Decimal("0.00000625"),
        next_funding_ms=1790136000000,
    ),
    KLINE: Kline(
        symbol="AAPL.US_USDC_PERP",
        interval="1m",
        start_ms=1790132400000,
        end_ms=1790132460000,
        open=Decimal("18.75"),
        volume=Decimal("0"),
    ),
}


def altered(frame: str, **fields: Any) -> str:
    """`frame` with other values in its data; `...` takes a field away."""
    envelope = json.loads(frame)
    for name, value in fields.items():
        if value is ...:
            del envelope["data"][name]
        else:
            envelope["data"][name] = value
    return json.dumps(envelope)


def reason_of(frame: str | bytes) -> IgnoreReason:
    result = parse(frame)
    assert isinstance(result, Ignored), result
    return result.reason


@pytest.mark.parametrize("frame", CAPTURED, ids=lambda frame: json.loads(frame)["stream"])
@pytest.mark.parametrize("form", [str, str.encode], ids=["text", "bytes"])
def test_captured_frames(frame: str, form: Any) -> None:
    assert parse(form(frame)) == CAPTURED[frame]


def test_the_digits_of_a_price_are_kept() -> None:
    book = parse(BOOK)
    assert isinstance(book, BookTicker)
    assert str(book.ask) == "86656.0"


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        ('{"id":null,"error":{"code":4006,"message":"Invalid stream"}}', 4006, "Invalid stream"),
        ('{"id":null,"error":{"code":4002,"message":"Parse error"}}', 4002, "Parse error"),
        ('{"error":{}}', None, "None"),
        ('{"error":{"code":"4006","message":"two\\nlines"}}', 4006, "two lines"),
    ],
)
def test_error_frames(frame: str, code: int | None, message: str) -> None:
    assert parse(frame) == StreamError(code, message)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", IgnoreReason.BAD_JSON),
        ("not json", IgnoreReason.BAD_JSON),
        (b"\xff\xfe", IgnoreReason.BAD_JSON),
        ('"\ud800"', IgnoreReason.BAD_JSON),
        ("[" * 100_000, IgnoreReason.BAD_JSON),
        ('{"a":1e99999999999999999999}', IgnoreReason.BAD_JSON),
        ("9" * 5_000, IgnoreReason.BAD_JSON),
        (BOOK[:-3], IgnoreReason.BAD_JSON),
        ("[]", IgnoreReason.UNKNOWN_FORM),
        ("null", IgnoreReason.UNKNOWN_FORM),
        ("{}", IgnoreReason.UNKNOWN_FORM),
        ('{"result":null,"id":1}', IgnoreReason.UNKNOWN_FORM),
        ('{"stream":"ticker.SOL_USDC"}', IgnoreReason.UNKNOWN_FORM),
        ('{"data":null,"stream":"ticker.SOL_USDC"}', IgnoreReason.UNKNOWN_FORM),
        ('{"data":{},"stream":7}', IgnoreReason.UNKNOWN_FORM),
        ('{"data":{},"stream":"depth.SOL_USDC"}', IgnoreReason.UNKNOWN_STREAM),
        ('{"data":{},"stream":""}', IgnoreReason.UNKNOWN_STREAM),
        ('{"data":{},"stream":"ticker"}', IgnoreReason.BAD_SYMBOL),
        ('{"data":{},"stream":"ticker."}', IgnoreReason.BAD_SYMBOL),
        ('{"data":{},"stream":"ticker.SOL USDC"}', IgnoreReason.BAD_SYMBOL),
        ('{"data":{},"stream":"kline.1m"}', IgnoreReason.BAD_SYMBOL),
        (altered(TICKER, s="ETH_USDC"), IgnoreReason.BAD_SYMBOL),
        (altered(TICKER, c=None), IgnoreReason.NO_PRICE),
        (altered(TICKER, c=...), IgnoreReason.NO_PRICE),
        (altered(TRADE, p=...), IgnoreReason.NO_PRICE),
        (altered(MARK_PRICE, p=None), IgnoreReason.NO_PRICE),
        (altered(TICKER, E=...), IgnoreReason.NO_EVENT_TIME),
        (altered(TICKER, E=1790134358087), IgnoreReason.NO_EVENT_TIME),
        (altered(TICKER, E=10**30), IgnoreReason.NO_EVENT_TIME),
        (altered(TICKER, E=10**18), IgnoreReason.NO_EVENT_TIME),
        (altered(TICKER, E=True), IgnoreReason.NO_EVENT_TIME),
        (altered(BOOK, a="86655.8"), IgnoreReason.CROSSED_BOOK),
    ],
)
def test_unusable_frames_are_ignored_with_a_reason(frame: str | bytes, reason: IgnoreReason) -> None:
    assert reason_of(frame) is reason


@pytest.mark.parametrize("sides", [{"a": "86655.8"}, {"a": "0"}, {"b": "-1"}, {"a": "NaN"}, {"a": [], "b": {}}])
def test_a_book_that_cannot_be_used_says_that_neither_side_is_known(sides: dict[str, object]) -> None:
    ignored, right = parse(altered(BOOK, **sides)), parse(BOOK)
    assert isinstance(ignored, Ignored)
    assert isinstance(right, BookTicker)
    assert ignored.book == BookTicker(right.symbol, None, None, right.event_us, right.update_id)


BAD_PRICES = [
    "",
    " 1",
    "1 ",
    "1\n",
    "0",
    "0.000",
    "-0",
    "-1",
    "+1",
    "NaN",
    "nan",
    "sNaN",
    "Infinity",
    "-inf",
    "1e5",
    "1E400",
    "1_000",
    "1,5",
    ".5",
    "5.",
    "0x10",
    "١٢",
    "1000000000000",
    "0.0000000000001",
    "9" * 400,
    0,
    -1,
    10**12,
    True,
    False,
    [],
    {},
    ["1"],
]


@pytest.mark.parametrize("price", BAD_PRICES, ids=repr)
@pytest.mark.parametrize(
    ("frame", "field"),
    [(TICKER, "c"), (BOOK, "a"), (BOOK, "b"), (TRADE, "p"), (MARK_PRICE, "p")],
    ids=["last", "ask", "bid", "trade", "mark"],
)
def test_what_is_not_a_price_never_becomes_one(frame: str, field: str, price: object) -> None:
    assert reason_of(altered(frame, **{field: price})) is IgnoreReason.BAD_PRICE


@pytest.mark.parametrize("price", [price for price in BAD_PRICES if price not in ("0", "0.000", 0)], ids=repr)
def test_nor_in_a_kline_where_a_zero_is_none(price: object) -> None:
    assert reason_of(altered(KLINE, c=price)) is IgnoreReason.BAD_PRICE


@pytest.mark.parametrize("zero", ["0", "0.000", 0, 0.0])
@pytest.mark.parametrize("field", ["o", "h", "l", "c"])
def test_a_zero_in_a_kline_is_no_price_and_the_rest_is_known(field: str, zero: object) -> None:
    prices = {"o": "18.75", "h": "19", "l": "18", "c": "18.5", field: zero}
    kline = parse(altered(KLINE, **prices))
    assert isinstance(kline, Kline)
    known = {"o": kline.open, "h": kline.high, "l": kline.low, "c": kline.close}
    assert known == {name: None if name == field else Decimal(str(price)) for name, price in prices.items()}


@pytest.mark.parametrize(
    ("sent", "start_ms"),
    [
        (1790132400, 1790132400000),
        (1790132400000, 1790132400000),
        (1790132400000123, 1790132400000),
        ("1790132400", 1790132400000),
        ("2026-09-23T03:00:00", 1790132400000),
        ("2026-09-23 03:00:00", 1790132400000),
        (17, None),
        (-1790132400, None),
        (10**18, None),
        (True, None),
        ("99999999999999999999", None),
        ("soon", None),
        (None, None),
    ],
)
def test_the_times_of_a_kline_may_be_numbers_of_any_unit(sent: object, start_ms: int | None) -> None:
    kline = parse(altered(KLINE, t=sent, T=sent))
    assert isinstance(kline, Kline)
    assert (kline.start_ms, kline.end_ms) == (start_ms, start_ms)


@pytest.mark.parametrize(
    ("sent", "rate"),
    [
        ("0.0000063927411384126372918465", "0.0000063927411384126372918465"),
        ("-0.0000125000000000000000000001", "-0.0000125000000000000000000001"),
        ("0", "0"),
        ("0.1e5", None),
        ("NaN", None),
        ("0." + "1" * 41, None),
        ("1" * 7, None),
        (0, "0"),
        (None, None),
    ],
)
def test_funding_rates_keep_all_their_digits(sent: object, rate: str | None) -> None:
    mark = parse(altered(MARK_PRICE, f=sent))
    assert isinstance(mark, MarkPrice)
    assert mark.funding_rate == (None if rate is None else Decimal(rate))


def test_a_funding_rate_that_is_a_json_number_keeps_them_too() -> None:
    mark = parse(MARK_PRICE.replace('"0.00000625"', "0.0000063927411384126372918465"))
    assert isinstance(mark, MarkPrice)
    assert mark.funding_rate == Decimal("0.0000063927411384126372918465")


@pytest.mark.parametrize("number", ["1e400", "1e999999", "-1.5", "0.0", "-0.0", "1e-400", "1e12"])
def test_what_is_not_a_price_never_becomes_one_as_a_json_number_either(number: str) -> None:
    assert reason_of(TICKER.replace('"86625"', number)) is IgnoreReason.BAD_PRICE


@pytest.mark.parametrize(
    ("sent", "price"),
    [
        ('"86625.0"', "86625.0"),
        ('"0.00000100"', "0.00000100"),
        ('"999999999999.999999999999"', "999999999999.999999999999"),
        ("86625", "86625"),
        ("86625.10", "86625.10"),
        ("8.5e2", "8.5E+2"),
    ],
)
def test_prices_are_exact(sent: str, price: str) -> None:
    ticker = parse(TICKER.replace('"86625"', sent))
    assert isinstance(ticker, Ticker)
    assert str(ticker.last) == price


def test_a_null_or_missing_side_is_an_empty_side() -> None:
    for gone in (None, ...):
        book = parse(altered(BOOK, b=gone, B=gone))
        assert isinstance(book, BookTicker)
        assert (book.bid, book.bid_quantity, book.ask) == (None, None, Decimal("86656.0"))


def test_missing_null_new_and_odd_fields_are_tolerated() -> None:
    ticker = parse(altered(TICKER, o=None, h=..., l="NaN", v="-1", V=[1], n="many", x={"new": 1}, e=..., s=...))
    assert ticker == Ticker("BTC_USDC_PERP", Decimal("86625"), 1790134358087727)


@pytest.mark.parametrize("update_id", [6730019258, "6730019258"])
def test_the_update_id_may_be_text_or_number(update_id: object) -> None:
    assert parse(altered(BOOK, u=update_id)) == CAPTURED[BOOK]


def test_the_event_time_is_the_engine_time_or_else_the_emit_time() -> None:
    for engine_time in (None, ..., "soon", 0):
        book = parse(altered(BOOK, T=engine_time))
        assert isinstance(book, BookTicker)
        assert book.event_us == 1790134357267285


@pytest.mark.parametrize("symbol", ["kBONK_USDC_PERP", "AAPL.US_USDC_PERP", "A.B.C_USDC"])
def test_symbols_keep_their_dots_and_their_case(symbol: str) -> None:
    result = parse(BOOK.replace("BTC_USDC_PERP", symbol))
    assert isinstance(result, BookTicker)
    assert result.symbol == symbol
    kline = parse(KLINE.replace("AAPL.US_USDC_PERP", symbol))
    assert isinstance(kline, Kline)
    assert (kline.symbol, kline.interval) == (symbol, "1m")


def test_the_detail_of_an_ignored_frame_is_one_short_line() -> None:
    result = parse(json.dumps({"data": {}, "stream": "evil\n" * 1_000}))
    assert isinstance(result, Ignored)
    assert len(result.detail) <= 160
    assert "\n" not in result.detail


def test_requests_hold_many_streams_and_each_stream_once() -> None:
    streams = [f"ticker.S{number}" for number in range(STREAMS_PER_REQUEST_MAX + 1)]
    requests = [json.loads(request) for request in subscribe_requests([*streams, streams[0]])]
    assert requests == [
        {"method": "SUBSCRIBE", "params": streams[:-1]},
        {"method": "SUBSCRIBE", "params": streams[-1:]},
    ]
    assert next(unsubscribe_requests(["ticker.SOL_USDC"])) == ('{"method":"UNSUBSCRIBE","params":["ticker.SOL_USDC"]}')
    assert list(subscribe_requests([])) == []


# Properties.


def assert_sound(result: object) -> None:
    """Whatever came in: every price that came out is a positive, finite, sane number."""
    if isinstance(result, Ignored | StreamError):
        return
    names = {"last", "bid", "ask", "price", "mark", "index", "open", "high", "low", "close"}
    if isinstance(result, Ticker):
        names -= {"high", "low"}  # figures of the day, which nothing is traded on
    for name in names:
        price = getattr(result, name, None)
        assert price is None or (isinstance(price, Decimal) and 0 < price < Decimal(10) ** 12), (name, price)


@settings(deadline=None)
@given(st.binary() | st.text())
def test_arbitrary_frames_never_raise(frame: str | bytes) -> None:
    assert_sound(parse(frame))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["86625", "0", "-1", "NaN", "1e400", "Infinity", "6730019258"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    frame=st.sampled_from(list(CAPTURED)),
    fields=st.dictionaries(st.sampled_from("abcefhilmnopqstuvxABETVX"), json_values),
)
def test_arbitrary_fields_never_raise_and_never_give_a_bad_price(frame: str, fields: dict[str, Any]) -> None:
    assert_sound(parse(altered(frame, **fields)))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["data", "stream", "error", "id"]), json_values))
def test_arbitrary_envelopes_never_raise(envelope: dict[str, Any]) -> None:
    assert_sound(parse(json.dumps(envelope)))
