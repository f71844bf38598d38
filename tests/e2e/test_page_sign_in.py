"""The page where nobody trades without signing in: the mailed link, sessions, API keys, and other tabs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from chromium import AXE, NOTHING, PHONE, Trader
from mailed_links import Mailbox, open_mailbox
from platform_harness import PlatformThread
from playwright.sync_api import BrowserContext, Locator, Route, expect

Visit = Callable[..., Trader]

SECRET = "of this test alone, and long enough"
OPERATOR = "olga@example.org"
SERIOUS = ("serious", "critical")
REFUSED = ("status of 400", "status of 401", "status of 409")


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with open_mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[PlatformThread]:
    thread = PlatformThread(
        tmp_path_factory.mktemp("platform"),
        auth="required",
        secret_key=(SECRET,),
        operators=(OPERATOR,),
        sign_in_limit="",
        new_accounts_limit="",
    )
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def email(account: str) -> str:
    """One that nobody else has."""
    return f"{account}@example.org"


@pytest.fixture
def guest(visit: Visit, platform: PlatformThread) -> Trader:
    """A page of nobody, at live prices."""
    return arrive(visit(f"http://127.0.0.1:{platform.port}"))


@pytest.fixture
def trader(guest: Trader, mailbox: Mailbox, email: str) -> Trader:
    """A page of somebody who has signed in."""
    return sign_in(guest, mailbox, email)


def arrive(trader: Trader) -> Trader:
    trader.page.goto(trader.url)
    trader.expect_state("connected")
    expect(trader.see("buy-price")).not_to_have_text(NOTHING)
    return trader


def mailed(trader: Trader, mailbox: Mailbox, email: str) -> str:
    """Have a link mailed by the page's dialog."""
    count = sum(whose == email for whose, _ in mailbox.links)
    trader.see("account-menu").click()
    trader.see("sign-in-email").fill(email)
    trader.see("send-link").click()
    expect(trader.see("sign-in-sent")).to_contain_text(email)
    trader.page.keyboard.press("Escape")
    link: str = trader.wait_for(lambda: mailbox.link_of(email, count + 1))
    return link


def sign_in(trader: Trader, mailbox: Mailbox, email: str) -> Trader:
    trader.page.goto(mailed(trader, mailbox, email))
    expect(trader.see("verify-dialog")).to_contain_text(f"Sign in as {email}?")
    trader.see("verify").click()
    expect_signed_in(trader, email)
    return trader


def expect_signed_in(trader: Trader, email: str) -> None:
    expect(trader.see("account-name")).to_have_text(email)
    expect(trader.see("account-balance")).to_have_text("10,000.00")
    trader.expect_state("connected")


def expect_guest(trader: Trader) -> None:
    expect(trader.see("account-name")).to_have_text("Sign in")
    expect(trader.see("submit")).to_have_text("Sign in to trade")
    for figure in ("account-balance", "account-equity", "account-free-margin"):
        expect(trader.see(figure)).to_have_text(NOTHING)


def open_access(trader: Trader) -> None:
    trader.see("account-menu").click()
    trader.see("open-access").click()
    expect(trader.see("session").first).to_be_visible()


def verify_elsewhere(context: BrowserContext, link: str) -> Any:
    """Redeem a link as another tab of this browser would, unseen by the page."""
    asked = parse_qs(urlsplit(link).fragment.partition("?")[2])
    parts = urlsplit(link)
    origin = f"{parts.scheme}://{parts.netloc}"
    answer = context.request.post(
        f"{origin}/api/auth/verify",
        data={"token": asked["token"][0], "email": asked["email"][0], "nonce": "n" * 32},
        headers={"Origin": origin},
    )
    assert answer.ok, answer.text()
    return answer.json()


def test_a_guest_sees_prices_and_is_asked_to_sign_in(guest: Trader, platform: PlatformThread) -> None:
    expect_guest(guest)
    platform.set_price("SOL_USDC", "171.00", "171.10")
    expect(guest.see("buy-price")).to_have_text("171.10")
    platform.set_price("SOL_USDC", "150.00", "150.10")
    expect(guest.see("buy-price")).to_have_text("150.10")
    expect(guest.see("chart-note")).to_be_hidden()
    guest.choose("BTC_USDC")
    expect(guest.see("buy-price")).to_have_text("65,010.00")
    guest.show("history")
    expect(guest.see("panel-history")).to_contain_text("Sign in to see your trades")
    guest.see("margin").fill("321")
    guest.see("submit").click()
    expect(guest.see("sign-in-email")).to_be_focused()
    guest.page.keyboard.press("Escape")
    expect(guest.see("margin")).to_have_value("321")
    guest.see("margin").press("Enter")
    expect(guest.see("sign-in-dialog")).to_be_visible()


@pytest.mark.parametrize("typed", ["", "nonsense", "a@", "@b.c"])
def test_what_is_no_address_is_told_at_the_field(guest: Trader, typed: str) -> None:
    guest.see("account-menu").click()
    guest.see("sign-in-email").fill(typed)
    guest.see("send-link").click()
    expect(guest.see("sign-in-dialog")).to_contain_text("An e-mail address, such as")
    expect(guest.see("sign-in-email")).to_be_focused()
    expect(guest.see("sign-in-sent")).to_be_hidden()


def test_signing_in_trading_coming_back_and_signing_out(guest: Trader, mailbox: Mailbox, email: str) -> None:
    link = mailed(guest, mailbox, email)
    guest.page.goto(link)
    expect(guest.see("verify")).to_be_focused()
    token = parse_qs(urlsplit(link).fragment.partition("?")[2])["token"][0]
    assert "#" not in guest.page.url
    guest.see("verify").click()
    expect_signed_in(guest, email)
    kept = guest.page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state])"
    )
    assert token not in kept
    assert "session" not in kept, "the page itself can't read the session"
    guest.trade(margin="50", leverage="2")
    guest.page.reload()
    expect(guest.see("account-name")).to_have_text(email)
    expect(guest.see("count-open")).to_have_text("1")
    guest.see("account-menu").click()
    expect(guest.see("who")).to_have_text(f"Signed in as {email}")
    guest.see("sign-out").click()
    expect_guest(guest)
    expect(guest.see("count-open")).to_have_text("0")
    guest.page.reload()
    guest.expect_state("connected")
    expect_guest(guest)
    guest.page.go_back()
    guest.page.wait_for_timeout(500)
    assert token not in guest.page.url
    expect(guest.see("verify-dialog")).to_be_hidden()


def test_a_link_that_is_not_confirmed_is_not_used(guest: Trader, visit: Visit, mailbox: Mailbox, email: str) -> None:
    link = mailed(guest, mailbox, email)
    guest.page.goto(link)
    expect(guest.see("verify-dialog")).to_contain_text(f"Sign in as {email}?")
    guest.page.keyboard.press("Escape")
    expect_guest(guest)
    other = arrive(visit(guest.url))
    other.page.goto(link)
    other.see("verify").click()
    expect_signed_in(other, email)


def test_a_link_works_once(trader: Trader, visit: Visit, mailbox: Mailbox, email: str) -> None:
    link = mailbox.link_of(email)
    assert link is not None
    other = arrive(visit(trader.url))
    other.tolerated = REFUSED
    other.page.goto(link)
    other.see("verify").click()
    expect(other.see("verify-status")).not_to_be_empty()
    other.see("verify-another").click()
    expect(other.see("sign-in-email")).to_have_value(email)
    other.page.keyboard.press("Escape")
    expect_guest(other)


@pytest.mark.parametrize("fragment", ["#verify?", "#verify?token=x", "#verify?email=a%40b.c"])
def test_half_a_link_is_told(guest: Trader, fragment: str) -> None:
    guest.page.goto(guest.url + "/" + fragment)
    expect(guest.see("verify-dialog")).to_contain_text("This link is not whole")
    expect(guest.see("verify")).to_be_hidden()
    assert "#" not in guest.page.url


def test_a_lost_answer_is_asked_for_again_and_is_the_same_session(guest: Trader, mailbox: Mailbox, email: str) -> None:
    link = mailed(guest, mailbox, email)
    guest.tolerated = ("ERR_FAILED",)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    guest.page.route("**/api/auth/verify", lose, times=1)
    guest.page.goto(link)
    guest.see("verify").click()
    expect(guest.see("verify-status")).to_contain_text("did not answer")
    expect(guest.see("verify")).to_be_focused()
    guest.see("verify").click()
    expect_signed_in(guest, email)
    open_access(guest)
    expect(guest.see("session")).to_have_count(1)


def test_a_session_that_ends_leaves_what_was_typed(trader: Trader, visit: Visit, mailbox: Mailbox, email: str) -> None:
    trader.tolerated = REFUSED
    other = sign_in(arrive(visit(trader.url)), mailbox, email)
    trader.fill_ticket("sell", "limit", margin="77", price="199", leverage="3")
    streams: list[str] = []
    trader.page.on("websocket", lambda socket: streams.append(socket.url))
    open_access(other)
    expect(other.see("session")).to_have_count(2)
    ended = other.see("session").filter(has_not_text="This one")
    ended.get_by_test_id("end-session").click()
    expect(other.see("session")).to_have_count(1)
    trader.expect_toast("You are signed out")
    expect_guest(trader)
    for field, value in (("margin", "77"), ("price", "199"), ("leverage", "3")):
        expect(trader.see(field)).to_have_value(value)
    expect(trader.see("side-sell")).to_be_checked()
    trader.expect_state("connected")
    trader.page.wait_for_timeout(3_000)
    assert len(streams) == 1, "that of a guest, once"
    assert "account=" not in streams[0]
    expect(other.see("account-name")).to_have_text(email)


def test_an_order_of_a_session_that_has_ended_is_not_sent_by_another(
    trader: Trader, mailbox: Mailbox, email: str, platform: PlatformThread
) -> None:
    """Another tab of the browser signs in as somebody else, and this page has not noticed."""
    trader.tolerated = REFUSED
    trader.fill_ticket(margin="123", leverage="2")
    second = f"second-{email}"
    other_link = ask_for_link(trader.context, trader.url, mailbox, second)
    verify_elsewhere(trader.context, other_link)
    trader.submit()
    trader.expect_toast("Another account is signed in", second)
    expect_signed_in(trader, second)
    expect(trader.see("count-open")).to_have_text("0")
    expect(trader.see("margin")).to_have_value("123")
    trader.submit()
    expect(trader.see("count-open")).to_have_text("1")


def ask_for_link(context: BrowserContext, url: str, mailbox: Mailbox, email: str) -> str:
    answer = context.request.post(f"{url}/api/auth/login", data={"email": email}, headers={"Origin": url})
    assert answer.ok, answer.text()
    for _ in range(200):
        if link := mailbox.link_of(email):
            return link
        context.pages[0].wait_for_timeout(50)
    raise TimeoutError("no link was mailed")


def test_the_other_tabs_follow(trader: Trader, visit: Visit, email: str) -> None:
    beside = visit(trader.url, beside=trader)
    beside.page.goto(beside.url)
    expect_signed_in(beside, email)
    beside.see("account-menu").click()
    beside.see("reset-confirm").fill("RESET")
    trader.see("account-menu").click()
    trader.see("sign-out").click()
    expect_guest(trader)
    beside.expect_toast("You are signed out")
    expect_guest(beside)
    expect(beside.see("account-dialog"), "what it asks is about the account before").to_be_hidden()


def test_keys_are_made_shown_once_used_and_revoked(trader: Trader, platform: PlatformThread) -> None:
    open_access(trader)
    expect(trader.see("keys")).to_contain_text("No API keys yet")
    trader.see("create-key").click()
    expect(trader.see("access-dialog")).to_contain_text("A name, such as that of the program")
    trader.see("key-name").fill("my <b>bot</b>")
    trader.see("key-expires").select_option("30")
    trader.see("create-key").click()
    expect(trader.see("new-key-secret")).to_be_focused()
    secret = trader.see("new-key-secret").input_value()
    assert secret.startswith("exn_")
    expect(trader.see("key")).to_contain_text("my <b>bot</b>")
    expect(trader.see("key")).to_contain_text("Reads only")
    bearer = {"Authorization": f"Bearer {secret}"}
    assert platform.send("GET", "/api/v1/state", headers=bearer).status == 200
    body = json.dumps({"margin": 10, "asset": "SOL", "type": "long"}).encode()
    headers = {**bearer, "Content-Type": "application/json"}
    assert platform.send("POST", "/api/v1/positions/open", body, headers).status == 403
    trader.page.keyboard.press("Escape")
    open_access(trader)
    expect(trader.see("new-key")).to_be_hidden()
    assert secret not in trader.page.content()
    expect(trader.see("new-key-secret")).to_have_value("")
    trader.see("revoke-key").click()
    expect(trader.see("keys")).to_contain_text("No API keys yet")
    assert platform.send("GET", "/api/v1/state", headers=bearer).status == 401


def test_a_key_that_may_trade(trader: Trader, platform: PlatformThread) -> None:
    trader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_access(trader)
    trader.see("key-name").fill("trading bot")
    trader.see("key-trades").check()
    trader.see("key-expires").select_option("0")
    trader.see("create-key").click()
    expect(trader.see("key")).to_contain_text("Reads and trades, does not expire")
    trader.see("copy-key").click()
    expect(trader.see("copy-key")).to_have_text("Copied")
    copied = trader.page.evaluate("navigator.clipboard.readText()")
    body = json.dumps({"margin": 10, "asset": "SOL", "type": "long"}).encode()
    headers = {"Authorization": f"Bearer {copied}", "Content-Type": "application/json"}
    assert platform.send("POST", "/api/v1/positions/open", body, headers).status == 201
    trader.page.keyboard.press("Escape")
    expect(trader.see("count-open")).to_have_text("1")


def test_all_sessions_are_ended_at_once(trader: Trader, visit: Visit, mailbox: Mailbox, email: str) -> None:
    trader.tolerated = REFUSED
    other = sign_in(arrive(visit(trader.url)), mailbox, email)
    open_access(other)
    other.see("end-sessions").click()
    expect_guest(other)
    expect_guest(trader)


def test_an_operator_is_told_so(guest: Trader, mailbox: Mailbox) -> None:
    expect(guest.see("operator")).to_be_hidden()
    sign_in(guest, mailbox, OPERATOR)
    expect(guest.see("operator")).to_be_visible()
    guest.page.set_viewport_size({"width": 1200, "height": 800})
    expect(guest.see("operator")).to_be_visible()


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        missing = "axe-core is not installed: npm ci"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return AXE.read_text("utf-8")


def examine(trader: Trader, axe: str, where: str) -> None:
    page = trader.page
    page.wait_for_timeout(600)
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    for finding in found:
        print(f"{where}: {finding['impact']} {finding['id']}: {[node['target'] for node in finding['nodes']][:3]}")
    assert not [finding["id"] for finding in found if finding["impact"] in SERIOUS], where
    wider = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    assert wider <= 0, f"{where} is wider than the screen"
    for dialog in page.locator("dialog[open]").all():
        beyond = dialog.evaluate("dialog => dialog.scrollWidth - dialog.clientWidth")
        assert beyond <= 0, f"{where}: the dialog is wider than itself"


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "dark"},
        {"color_scheme": "light"},
        {"viewport": PHONE, "is_mobile": True, "has_touch": True},
        {"viewport": {"width": 320, "height": 640}, "color_scheme": "light"},
    ],
    ids=["dark", "light", "phone", "small"],
)
def test_by_keyboard_alone_and_with_no_serious_finding(
    visit: Visit, platform: PlatformThread, mailbox: Mailbox, axe: str, email: str, options: dict[str, Any]
) -> None:
    trader = arrive(visit(f"http://127.0.0.1:{platform.port}", **options))
    trader.tolerated = REFUSED
    keys = trader.page.keyboard

    def press(button: Locator) -> None:
        button.focus()
        keys.press("Enter")

    examine(trader, axe, "guest")
    press(trader.see("account-menu"))
    keys.type("nonsense")
    keys.press("Enter")
    examine(trader, axe, "no address")
    keys.press("Control+a")
    keys.type(email)
    keys.press("Enter")
    expect(trader.see("sign-in-sent")).to_be_visible()
    assert trader.page.evaluate("document.activeElement.id") == "sign-in-sent-title"
    examine(trader, axe, "check your mail")
    keys.press("Escape")
    trader.page.goto(trader.wait_for(lambda: mailbox.link_of(email)))
    examine(trader, axe, "verify")
    keys.press("Enter")
    expect_signed_in(trader, email)
    press(trader.see("account-menu"))
    examine(trader, axe, "account")
    trader.picture(f"sign-in-account-{options.get('color_scheme', 'phone')}")
    press(trader.see("open-access"))
    expect(trader.see("session")).to_have_count(1)
    trader.see("key-name").focus()
    keys.type("bot")
    keys.press("Enter")
    expect(trader.see("new-key")).to_be_visible()
    examine(trader, axe, "sessions and keys")
    press(trader.see("revoke-key"))
    expect(trader.see("keys")).to_contain_text("No API keys yet")
    assert trader.page.evaluate("document.activeElement.id") == "access-title", "the focus is not lost with the row"
    press(trader.see("end-session"))
    expect_guest(trader)
    examine(trader, axe, "signed out")
