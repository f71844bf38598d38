"""A digest of the settings that decide what becomes of a request or a price: workers that differ there, drift apart."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import msgspec

from exness_streams.domain.money import canonical
from exness_streams.settings.platform import Settings

DIGEST_CHARS = 12


def deciding_digest(settings: Settings) -> str:
    """Equal for equal terms (with the spread), limits, starting balance, age of quotes, price bands and instruments,
    however they are written; the order of the instruments, and all that only shows or paces, does not count."""
    deciding = {
        "terms": {terms.symbol: _told(terms) for terms in settings.catalogue()},
        "limits": _told(settings.limits()),
        "starting_balance": _plain(settings.starting_balance),
        "max_quote_age_ms": settings.max_quote_age_ms,
        "price_bands": {symbol: _plain(band) for symbol, band in settings.price_bands().items()},
    }
    told = json.dumps(deciding, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(told).hexdigest()[:DIGEST_CHARS]


def _told(struct: msgspec.Struct) -> dict[str, object]:
    return {name: _plain(value) for name, value in msgspec.structs.asdict(struct).items()}


def _plain(value: object) -> object:
    """Decimals that are equal as one text."""
    return format(canonical(value), "f") if isinstance(value, Decimal) else value
