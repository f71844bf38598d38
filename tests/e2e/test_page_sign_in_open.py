"""The page where nobody has to sign in: as ever, and with a quiet way to an account of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import Trader
from mailed_links import Mailbox, open_mailbox
from platform_harness import PlatformThread
from playwright.sync_api import expect


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with open_mailbox() as box:
        yield box


def test_signing_in_is_offered_and_signing_out_leads_back(
    trader: Trader, platform: PlatformThread, mailbox: Mailbox, account: str
) -> None:
    email = f"{account}@example.org"
    expect(trader.see("account-name")).to_have_text(account)
    trader.trade(margin="50", leverage="2")
    trader.see("account-menu").click()
    expect(trader.see("who")).to_have_text("Without sign-in")
    expect(trader.see("sign-out")).to_be_hidden()
    trader.see("open-sign-in").click()
    trader.see("sign-in-email").fill(email)
    trader.see("send-link").click()
    expect(trader.see("sign-in-sent")).to_be_visible()
    trader.page.goto(trader.wait_for(lambda: mailbox.link_of(email)))
    trader.see("verify").click()
    expect(trader.see("account-name")).to_have_text(email)
    expect(trader.see("count-open")).to_have_text("0")
    assert len(platform.state(account)["positions"]) == 1
    trader.trade(margin="60", leverage="2")
    trader.see("account-menu").click()
    expect(trader.see("switch-account")).to_be_hidden()
    trader.see("sign-out").click()
    expect(trader.see("account-name")).to_have_text("demo")
    trader.expect_state("connected")
