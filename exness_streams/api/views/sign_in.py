"""Signing in without passwords: a link by mail, redeemed once for a session."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

from exness_streams.api.access.caller import COOKIE, REFUSED, Caller, caller_of, named_account
from exness_streams.api.access.guard import Guard, agent_of, origin_of
from exness_streams.api.access.rate_limits import RateLimits
from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import EmailRequest, VerifyRequest
from exness_streams.api.commands import CommandDesk
from exness_streams.api.errors import ApiError, invalid_request
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.requests import body_of, only_known, read_body
from exness_streams.api.views.access_answers import Done, LinkSent, Me, Verified, VerifiedUser, in_the_original_s_shape
from exness_streams.domain.emails import normalized_email
from exness_streams.domain.identity import EndSessions, RedeemLink, SessionStarted
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.identity.mail import Mail, MailFault
from exness_streams.identity.tokens import SESSION_LIFE_MS, Link, NotOurs
from exness_streams.settings.platform import Settings


class SignIn:
    """What the sign-in routes share."""

    def __init__(
        self, guard: Guard, desk: CommandDesk, forwarding: Forwarding, limits: RateLimits, settings: Settings
    ) -> None:
        self.guard, self.desk, self.forwarding, self.limits = guard, desk, forwarding, limits
        self.mail = Mail(settings)
        self.auth = settings.auth
        self._frontend_url = settings.frontend_url
        self._scheme = "https" if settings.tls_certificate_file else "http"

    def link(self, request: web.Request, email: str) -> str:
        """Where the mail leads: to the operator's own page, else to ours, in whose fragment no server reads it."""
        now_ms = int(time.time() * 1000)
        token = self.guard.tokens.link(self.guard.keys.account_id(email), email, secrets.token_urlsafe(24), now_ms)
        query = f"token={token}&email={quote(email, safe='')}"
        if self._frontend_url:
            return f"{self._frontend_url}/auth/verify?{query}"
        origin = origin_of(request)
        is_ours = origin.lower().partition("://")[2] == request.host.lower()  # else of an application of somebody's own
        return f"{origin if is_ours else f'{self._scheme}://{request.host}'}/#verify?{query}"

    def is_secure(self, request: web.Request) -> bool:
        """Whether the client came by https, also where a proxy has ended that."""
        return request.secure or origin_of(request).startswith("https://")

    def set_cookie(self, request: web.Request, response: web.Response, token: str, expires_ms: int) -> None:
        """Give a page its session."""
        life_s = max(0, expires_ms // 1000 - int(time.time()))
        secure = self.is_secure(request)
        response.set_cookie(COOKIE, token, max_age=life_s, path="/", httponly=True, samesite="Lax", secure=secure)

    def clear_cookie(self, request: web.Request, response: web.Response) -> None:
        """Take it back."""
        secure = self.is_secure(request)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax", secure=secure)


class AskForLinkView(ApiView):
    """POST /api/auth/signup and /api/auth/login: the same, for an account begins with its first order."""

    def __init__(self, app: object, web_server: object, sign_in: SignIn) -> None:
        super().__init__(app, web_server)
        self._sign_in = sign_in

    async def post(self, request: web.Request) -> web.Response:
        """Send a link."""
        email = normalized_email(EmailRequest.read(await read_body(request)).email)
        if email is None:
            raise invalid_request("email", '"email" is not an e-mail address; send one such as anna@example.com')
        mail = self._sign_in.mail
        if refused := mail.refused:
            raise ApiError(503, "MAIL_UNAVAILABLE", f"no link can be sent: {refused}")
        self._sign_in.limits.send_link(request, email)
        try:
            await mail.send_link(email, self._sign_in.link(request, email))
        except MailFault:
            raise ApiError(503, "MAIL_UNAVAILABLE", "the mail could not be sent: try again in a minute") from None
        said = "Check your e-mail: a link that signs you in is on its way. It works once, within 15 minutes."
        return json_response(LinkSent(message=said, email=email))


class VerifyView(ApiView):
    """GET and POST /api/auth/verify: a link becomes a session, by the cell of its account."""

    query = None

    def __init__(self, app: object, web_server: object, sign_in: SignIn) -> None:
        super().__init__(app, web_server)
        self._sign_in = sign_in
        to_owner = sign_in.forwarding.to_owner_of(self._account)
        self._redeem_at_owner = in_the_original_s_shape(to_owner(self._redeem))

    async def get(self, request: web.Request) -> web.StreamResponse:
        """As the original's page does. What only opens or looks at the link redeems nothing."""
        if request.method == "HEAD":
            return web.Response()
        if _is_navigation(request):
            query = request.query_string
            raise web.HTTPSeeOther(f"/#verify?{query}")
        return await self._redeem_at_owner(request)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """As our page and programs do."""
        return await self._redeem_at_owner(request)

    async def _account(self, request: web.Request) -> str:
        return (await self._asked(request))[0].account_id

    async def _asked(self, request: web.Request) -> tuple[Link, str]:
        """The link, which is one of ours, and the nonce."""
        if request.method == "GET":
            only_known(request, *VerifyRequest.field_names())
            asked = VerifyRequest.read(body_of(dict(request.query)))
        else:
            asked = VerifyRequest.read(await read_body(request))
        try:
            link = self._sign_in.guard.tokens.read_link(asked.token)
        except NotOurs:
            raise invalid_request("token", "this is not a sign-in link of this platform; ask for a new one") from None
        if asked.email is not None and normalized_email(asked.email) != link.email:
            raise invalid_request("email", "the link belongs to another e-mail address; open it as it was mailed")
        return link, asked.nonce or ""

    async def _redeem(self, request: web.Request) -> web.Response:
        sign_in = self._sign_in
        link, nonce = await self._asked(request)
        cell = sign_in.desk.accounts.cell_of(link.account_id)
        stamp = sign_in.desk.stamp(link.account_id, None)
        command = RedeemLink(
            **stamp,
            link=link.digest,
            nonce=sign_in.guard.keys.digest("nonce", nonce) if nonce else "",
            link_expires_ms=link.expires_ms,
            session_id=secrets.token_hex(12),
            session_expires_ms=stamp["time_ms"] + SESSION_LIFE_MS,
            agent=agent_of(request),
        )
        outcome = (await sign_in.desk.settle(cell, command)).outcome
        if isinstance(outcome, Rejection):
            raise ApiError.of(outcome)
        if not isinstance(outcome, SessionStarted):
            raise TypeError(f"a link became something else: {outcome!r}")
        session = outcome.session
        token = sign_in.guard.tokens.session(link.account_id, session.session_id, link.email, session.expires_ms)
        told = Verified(
            success=True,
            message="You are signed in.",
            user=VerifiedUser(email=link.email, verified=True),
            account=link.account_id,
            expires_at=session.expires_ms,
            token=None if origin_of(request) else token,
        )
        response = json_response(told)
        sign_in.set_cookie(request, response, token, session.expires_ms)
        return response


class LogoutView(ApiView):
    """POST /api/auth/logout"""

    def __init__(self, app: object, web_server: object, sign_in: SignIn) -> None:
        super().__init__(app, web_server)
        self._sign_in = sign_in
        self._end_at_owner = sign_in.forwarding.to_owner_of(_own_account)(self._end)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """End the session that asks, unless the page shows another account. Whoever has none is signed out already."""
        refused = request.get(REFUSED)
        if refused is not None and refused.status != 401:
            raise refused
        is_signed_in = refused is None and caller_of(request).kind == "session"
        return await self._end_at_owner(request) if is_signed_in else self._done(request)

    async def _end(self, request: web.Request) -> web.Response:
        caller, desk = caller_of(request), self._sign_in.desk
        account_id = str(caller.own_account_id)
        cell = desk.accounts.cell_of(account_id)
        command = EndSessions(**desk.stamp(account_id, None), session_id=caller.credential_id)
        outcome = (await desk.settle(cell, command)).outcome
        if isinstance(outcome, Rejection) and outcome.code is not RejectionCode.SESSION_NOT_FOUND:
            raise ApiError.of(outcome)
        return self._done(request)

    def _done(self, request: web.Request) -> web.Response:
        response = json_response(Done(message="You are signed out."))
        self._sign_in.clear_cookie(request, response)
        return response


class MeView(ApiView):
    """GET /api/auth/me"""

    def __init__(self, app: object, web_server: object, sign_in: SignIn) -> None:
        super().__init__(app, web_server)
        self._sign_in = sign_in
        self._of_credential = sign_in.forwarding.to_owner_of(_own_account)(self._known)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Who asks. A credential is looked at by its account's cell; a session that is over makes a guest."""
        caller = caller_of(request)
        return json_response(self._me(caller)) if caller.credential is None else await self._of_credential(request)

    async def _known(self, request: web.Request) -> web.Response:
        caller, sign_in = caller_of(request), self._sign_in
        cell = sign_in.desk.accounts.cell_of(str(caller.own_account_id))
        refused = sign_in.guard.refusal(caller, cell, reading=True)
        if refused is None:
            key = None
            if caller.kind == "key" and (row := cell.access(str(caller.own_account_id))) is not None:
                key = row.keys[caller.credential_id]
            me = self._me(caller)
            return json_response(me if key is None else _of_key(me, key.scopes, key.expires_ms))
        if request.headers.get("Authorization"):
            raise ApiError.of(refused)
        nobody = Caller("guest", None) if sign_in.guard.required else Caller("open", named_account(request))
        response = json_response(self._me(nobody))
        sign_in.clear_cookie(request, response)
        return response

    def _me(self, caller: Caller) -> Me:
        may = [] if caller.kind == "guest" else ["read", "trade"]
        return Me(
            auth=self._sign_in.auth,
            kind=caller.kind,
            account=caller.own_account_id or caller.account_id,
            email=caller.email or None,
            scopes=may,
            operator=caller.is_operator,
            expires_at=caller.expires_ms,
        )


def _of_key(me: Me, scopes: Sequence[str], expires_ms: int | None) -> Me:
    return Me(
        auth=me.auth,
        kind=me.kind,
        account=me.account,
        email=None,
        scopes=list(scopes),
        operator=False,
        expires_at=expires_ms,
    )


async def _own_account(request: web.Request) -> str:
    return str(caller_of(request).own_account_id)


def _is_navigation(request: web.Request) -> bool:
    """Whether a person opened the link, or a browser or a scanner looks ahead: no page asked for it on purpose."""
    headers = request.headers
    if "Sec-Purpose" in headers or "Purpose" in headers:
        return True
    mode = headers.get("Sec-Fetch-Mode")
    if mode is None:
        return "text/html" in headers.get("Accept", "")
    return mode not in ("cors", "same-origin")  # no-cors: a picture, a style, a frame of any site
