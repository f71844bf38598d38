"""The trading page (`/` for a browser), the API's own page (`/docs`) and their files, in memory as they were built.

Its files are named after what all of them contain (`/web/<digest>/…`), so a browser keeps them for good and still
never mixes two releases.
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiohttp import hdrs, web

from exness_streams.api.errors import Handler

log = logging.getLogger(__name__)

WEB_DIR = Path(__file__).parents[2] / "web"
CHART_LIBRARY = "vendor/lightweight-charts.standalone.production.mjs"
API_VIEWER = "vendor/swagger-ui-bundle.js"

FILES_PATH = "/web/{tail:.+}"

_INDEX, _DOCS = "index.html", "docs.html"
_PREFIX = re.compile(r"([0-9a-f]{16})/(.+)")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served at all: a file of another kind stays private."""

_YEAR_S = 365 * 86_400

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
CONTENT_SECURITY_POLICY = "; ".join((*_POLICY, "require-trusted-types-for 'script'", "trusted-types 'none'"))

DOCS_POLICY = "; ".join(_POLICY).replace("img-src 'self'", "img-src 'self' data:")
"""The viewer of /docs has icons in its style sheet, and makes sanitized HTML of descriptions, which are our own words.
It may neither evaluate text nor bring scripts or styles in line; the trading page's policy stays what it is."""

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the page has to know before it asks. margin_call_level: percent, as a string; base: of its files."""

    base: str
    has_chart: bool
    margin_call_level: Decimal
    max_quote_age_ms: int


class StaticFile(NamedTuple):
    """A file of the page."""

    content: bytes
    content_type: str
    etag: str


class Page:
    """The page's files as they were when the process started."""

    def __init__(self, margin_call_level: Decimal, quote_age_ms_max: int, web_dir: Path = WEB_DIR) -> None:
        self.files = _read_files(web_dir)
        self.digest = _digest_of(self.files.values(), *((web_dir / name).read_bytes() for name in (_INDEX, _DOCS)))
        settings = PageSettings(
            base=f"/web/{self.digest}",
            has_chart=CHART_LIBRARY in self.files,
            margin_call_level=margin_call_level,
            max_quote_age_ms=quote_age_ms_max,
        )
        if not settings.has_chart:
            log.warning("the page has no chart: install Node.js with npm, then install this package again")
        filled = _fill((web_dir / _INDEX).read_text("utf-8"), settings)
        self.index = StaticFile(filled, "text/html; charset=utf-8", _etag(filled))
        about = _fill((web_dir / _DOCS).read_text("utf-8"), settings)
        self.docs = StaticFile(about, "text/html; charset=utf-8", _etag(about))
        if API_VIEWER not in self.files:
            log.warning("/docs can try no requests: install Node.js with npm, then install this package again")

    async def about_api(self, request: web.Request) -> web.Response:
        """GET /docs"""
        answer = _answer(request, self.docs, "no-cache")
        answer.headers["Content-Security-Policy"] = DOCS_POLICY
        return answer

    async def file(self, request: web.Request) -> web.Response:
        """GET /web/…"""
        tail = request.match_info["tail"]
        named = _PREFIX.fullmatch(tail)
        # Workers of two releases may stand behind one address: another's name still finds the file, but isn't kept.
        found = self.files.get(named.group(2) if named else tail)
        if found is None:
            raise web.HTTPNotFound
        is_kept = named is not None and named.group(1) == self.digest
        return _answer(request, found, f"public, max-age={_YEAR_S}, immutable" if is_kept else "no-cache")


class Root:
    """GET /: the page for who asks for HTML, the stream for a WebSocket, the banner for other programs.

    No page of Faust's, as /ws is none.
    """

    def __init__(self, page: Page, banner: Callable[[], web.Response], stream: Handler) -> None:
        self._page, self._banner, self._stream = page, banner, stream

    def mount(self, web_app: web.Application) -> None:
        """Give it its route."""
        web_app.router.add_get("/", self.get)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET /"""
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._stream(request)
        wants_page = prefers_html(request.headers.get("Accept", ""))
        response = _answer(request, self._page.index, "no-cache") if wants_page else self._banner()
        response.headers["Vary"] = "Accept"
        return response


def prefers_html(accept: str) -> bool:
    """Whether a client names HTML, and wants it no less than JSON. A wildcard is no wish: curl sends one."""
    wishes = {"text/html": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in wishes:
            wishes[kind] = max(wishes[kind], _quality(parameters))
    return 0 < wishes["text/html"] >= wishes["application/json"]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            match = re.fullmatch(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", parameter)
            return float(match.group(1)) if match else 0.0
    return 1.0


def _read_files(web_dir: Path) -> dict[str, StaticFile]:
    files = {}
    for path in sorted(web_dir.rglob("*")):
        content_type = _TYPES.get(path.suffix)
        if content_type is not None and path.is_file():
            content = path.read_bytes()
            files[path.relative_to(web_dir).as_posix()] = StaticFile(content, content_type, _etag(content))
    return files


def _digest_of(files: Iterable[StaticFile], *pages: bytes) -> str:
    digest = hashlib.sha256(b"".join(pages))
    for file in files:
        digest.update(file.etag.encode())
    return digest.hexdigest()[:16]


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _fill(template: str, settings: PageSettings) -> bytes:
    as_json = msgspec.json.encode(settings).decode()
    return template.replace("{{base}}", settings.base).replace("{{settings}}", html.escape(as_json)).encode()


def _answer(request: web.Request, file: StaticFile, caching: str) -> web.Response:
    headers = SECURITY_HEADERS | {"ETag": file.etag, "Cache-Control": caching}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if file.etag in known or known == ["*"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=file.content, headers=headers | {"Content-Type": file.content_type})
