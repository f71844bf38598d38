"""The page as a browser gets it: negotiation, headers, caching, and nothing but the page's own files."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from exness_streams.api.errors import error_middleware
from exness_streams.api.views.page import (
    API_VIEWER,
    CHART_LIBRARY,
    FILES_PATH,
    SECURITY_HEADERS,
    WEB_DIR,
    Page,
    Root,
    prefers_html,
)
from exness_streams.engine.engine import EngineApp

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

Client = TestClient[web.Request, web.Application]


async def stream(request: web.Request) -> web.StreamResponse:
    return web.json_response({"name": "stream"})


def banner() -> web.Response:
    return web.json_response({"name": "banner"})


def page_of(web_dir: Path = WEB_DIR) -> Page:
    return Page(Decimal("60"), 5_000, web_dir)


@pytest.fixture
def page() -> Page:
    return page_of()


@pytest.fixture
async def client(page: Page) -> AsyncIterator[Client]:
    app = EngineApp("page", broker="memory://")
    web_app = app.web.web_app
    web_app.middlewares.append(error_middleware)
    web_app.router.add_get(FILES_PATH, page.file)
    web_app.router.add_get("/docs", page.about_api)
    Root(page, banner, stream).mount(web_app)
    async with TestClient(TestServer(web_app)) as client:
        yield client


def settings_in(document: str) -> dict[str, object]:
    content = re.search(r'name="page-settings" content="([^"]*)"', document)
    assert content is not None
    settings: dict[str, object] = json.loads(html.unescape(content.group(1)))
    return settings


def small_site(directory: Path) -> Path:
    """A page without a chart library, with a private file in its directory."""
    (directory / "js").mkdir()
    (directory / "js" / "main.js").write_text("export {};\n")
    (directory / "notes.py").write_text("private\n")
    (directory / "docs.html").write_text('<a href="{{base}}/x">')
    (directory / "index.html").write_text('<meta name="page-settings" content="{{settings}}"><a href="{{base}}/x">')
    return directory


@pytest.mark.parametrize(
    ("accept", "wants_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;level=1", True),
        ("application/json;q=0.5, text/html;q=0.5", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=nonsense", False),
    ],
)
async def test_a_browser_gets_the_page_and_a_program_the_banner(client: Client, accept: str, wants_page: bool) -> None:
    assert prefers_html(accept) is wants_page
    response = await client.get("/", headers={"Accept": accept})
    assert response.status == 200
    assert response.content_type == ("text/html" if wants_page else "application/json")
    assert response.headers["Vary"] == "Accept"


async def test_the_page_is_filled_in(client: Client, page: Page) -> None:
    document = await (await client.get("/", headers={"Accept": BROWSER})).text()
    assert "{{" not in document
    settings = settings_in(document)
    assert settings["base"] == f"/web/{page.digest}"
    assert settings["marginCallLevel"] == "60"
    assert settings["maxQuoteAgeMs"] == 5_000


@pytest.mark.parametrize("at", ["/", "/docs"])
async def test_all_that_the_page_names_is_there_and_of_its_kind(client: Client, page: Page, at: str) -> None:
    document = await (await client.get(at, headers={"Accept": BROWSER})).text()
    assert "{{" not in document
    named = [path for path in re.findall(r'(?:href|src)="(/[^"]*)"', document) if not path.startswith("/api/")]
    named = [path for path in named if "/vendor/" not in path or API_VIEWER in page.files]
    has_viewer = at == "/" or API_VIEWER in page.files
    assert len(named) > (4 if has_viewer else 3)
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", "": "text/html"}
    for path in named:
        response = await client.get(path, headers={"Accept": BROWSER})
        assert (response.status, response.content_type) == (200, kinds[Path(path).suffix]), path


async def test_every_module_that_a_module_imports_is_there(page: Page) -> None:
    imported = re.compile(r"^(?:import|export) [^;]*?from '([^']+)';", re.MULTILINE)
    modules = {name: file.content.decode() for name, file in page.files.items() if name.startswith("js/")}
    assert len(modules) > 20
    for name, text in modules.items():
        for target in imported.findall(text):
            assert target.startswith("."), f"{name} imports {target}: the page has no other origin"
            found = (WEB_DIR / name).parent.joinpath(target).resolve().relative_to(WEB_DIR).as_posix()
            assert found in page.files, f"{name} imports {target}"


@pytest.mark.parametrize("path", ["/", "/web/css/tokens.css", "/web/js/main.js"])
async def test_every_answer_is_guarded(client: Client, path: str) -> None:
    response = await client.get(path, headers={"Accept": BROWSER})
    assert SECURITY_HEADERS.items() <= dict(response.headers).items()
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_the_page_of_the_api_has_a_policy_of_its_own(client: Client) -> None:
    """Its viewer needs icons from its style sheet and HTML of its own; scripts and styles only from files, as ever."""
    response = await client.get("/docs")
    policy = response.headers["Content-Security-Policy"]
    trading = (await client.get("/", headers={"Accept": BROWSER})).headers["Content-Security-Policy"]
    assert SECURITY_HEADERS.keys() <= response.headers.keys()
    for rule in ("default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';"):
        assert rule in policy
        assert rule in trading
    assert "unsafe" not in policy
    assert "data:" not in trading
    assert "require-trusted-types-for 'script'" in trading


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_nothing_is_inline_and_no_other_origin_is_asked(name: str) -> None:
    document = (WEB_DIR / name).read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", document)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", document)
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]*)"', document)
    assert loaded
    assert all(url.startswith("{{base}}/") for url in loaded)


async def test_named_by_its_contents_a_file_is_kept_for_good(client: Client, page: Page) -> None:
    kept = await client.get(f"/web/{page.digest}/js/main.js")
    assert "immutable" in kept.headers["Cache-Control"]
    # Another release's name, and none: the file is asked for again.
    for path in ("/web/0123456789abcdef/js/main.js", "/web/js/main.js"):
        response = await client.get(path)
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-cache"


async def test_what_the_browser_has_is_not_sent_again(client: Client) -> None:
    for path in ("/", "/web/js/main.js"):
        first = await client.get(path, headers={"Accept": BROWSER})
        again = await client.get(
            path, headers={"Accept": BROWSER, "If-None-Match": f'"other", W/{first.headers["ETag"]}'}
        )
        assert again.status == 304
        assert await again.read() == b""
        changed = await client.get(path, headers={"Accept": BROWSER, "If-None-Match": '"other"'})
        assert changed.status == 200


async def test_the_name_changes_with_the_contents(tmp_path: Path) -> None:
    site = small_site(tmp_path)
    before = page_of(site).digest
    assert page_of(site).digest == before
    (site / "js" / "main.js").write_text("export const changed = 1;\n")
    assert page_of(site).digest != before


@pytest.mark.parametrize(
    "path",
    [
        "/web/../api/views/page.py",
        "/web/js/../../api/views/page.py",
        "/web/%2e%2e/api/views/page.py",
        "/web/..%2fapi%2fpage.py",
        "/web/js/%2e%2e%2f%2e%2e%2fapi%2fpage.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/js",
        "/web/js/",
        "/web/js/main.js/",
        "/web/js/main.js%00.css",
        "/web/index.html",
        "/web/",
        "/web",
    ],
)
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    response = await client.get(URL(path, encoded=True), allow_redirects=False)
    assert response.status == 404
    assert (await response.json())["error"] == "NOT_FOUND"


async def test_a_file_of_another_kind_is_private(tmp_path: Path) -> None:
    files = page_of(small_site(tmp_path)).files
    assert set(files) == {"js/main.js"}


async def test_without_the_chart_library_the_page_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = small_site(tmp_path)
    bare = page_of(site)
    assert settings_in(bare.index.content.decode())["hasChart"] is False
    assert "npm" in caplog.text
    (site / "vendor").mkdir()
    (site / CHART_LIBRARY).write_text("export {};\n")
    whole = page_of(site)
    assert settings_in(whole.index.content.decode())["hasChart"] is True
    assert whole.files[CHART_LIBRARY].content_type.startswith("text/javascript")
