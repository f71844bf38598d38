"""Sign-in, sessions, API keys and operators in the OpenAPI document: rows as in routes.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exness_streams.api import bodies
from exness_streams.api.openapi.route_text import OF_A_COMMAND, OF_AN_ACCOUNT, RouteText
from exness_streams.api.views import access_answers as answers

_OF_A_BODY = ("INVALID_REQUEST", "UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE", "FORBIDDEN")
_OF_MAIL = (*_OF_A_BODY, "MAIL_UNAVAILABLE")
_OF_AN_APPEND = ("NOT_READY", "REBALANCING", "OVERLOADED", "OUTCOME_UNKNOWN")
_OF_A_SESSION = (*OF_AN_ACCOUNT, "OVERLOADED", "OUTCOME_UNKNOWN")
_LINK: Mapping[str, Mapping[str, Any]] = {
    "token": {"type": "string", "description": "Of the mailed link"},
    "email": {"type": "string", "description": "The address that it was mailed to"},
    "nonce": {
        "type": "string",
        "minLength": 16,
        "maxLength": 128,
        "description": "Made by the client: the same link and nonce again give the same session",
    },
}

ACCESS_TEXTS = (
    RouteText(
        method="POST",
        path="/api/auth/signup",
        name="signUp",
        tag="access",
        summary="Send a sign-in link, as login does: there is no password, and an account begins with its first order",
        body=bodies.EmailRequest,
        answers={200: answers.LinkSent},
        refusals=_OF_MAIL,
        for_account=False,
        keyed=False,
    ),
    RouteText(
        method="POST",
        path="/api/auth/login",
        name="logIn",
        tag="access",
        summary="Send a sign-in link by e-mail; it works once, within 15 minutes",
        body=bodies.EmailRequest,
        answers={200: answers.LinkSent},
        refusals=_OF_MAIL,
        for_account=False,
        keyed=False,
    ),
    RouteText(
        method="GET",
        path="/api/auth/verify",
        name="verifyByGet",
        tag="access",
        summary="Redeem a link, as a page or a program; opened by a browser it leads to the page and redeems nothing",
        answers={200: answers.Verified, 400: answers.NotVerified},
        refusals=_OF_AN_APPEND,
        query=_LINK,
        for_account=False,
    ),
    RouteText(
        method="POST",
        path="/api/auth/verify",
        name="verify",
        tag="access",
        summary="Redeem a link for a session: a cookie for a page, a token for a program",
        body=bodies.VerifyRequest,
        answers={200: answers.Verified, 400: answers.NotVerified},
        refusals=(*_OF_A_BODY[1:], *_OF_AN_APPEND),
        for_account=False,
        keyed=False,
    ),
    RouteText(
        method="POST",
        path="/api/auth/logout",
        name="logOut",
        for_keys=False,
        tag="access",
        summary="End the session that asks, and its streams",
        answers={200: answers.Done},
        refusals=_OF_A_SESSION,
    ),
    RouteText(
        method="GET",
        path="/api/auth/me",
        name="whoAmI",
        tag="access",
        summary="Who asks: a guest, an account without sign-in, a session or an API key",
        answers={200: answers.Me},
        refusals=OF_AN_ACCOUNT,
    ),
    RouteText(
        method="GET",
        path="/api/auth/sessions",
        name="listSessions",
        for_keys=False,
        tag="access",
        summary="The account's sessions",
        answers={200: answers.Sessions},
        refusals=OF_AN_ACCOUNT,
    ),
    RouteText(
        method="DELETE",
        path="/api/auth/sessions",
        name="endSessions",
        for_keys=False,
        tag="access",
        summary="End all sessions of the account, this one included",
        answers={200: answers.Done},
        refusals=_OF_A_SESSION,
    ),
    RouteText(
        method="DELETE",
        path="/api/auth/sessions/{id}",
        name="endSession",
        for_keys=False,
        tag="access",
        summary="End one session",
        answers={200: answers.Done},
        refusals=(*_OF_A_SESSION, "SESSION_NOT_FOUND"),
    ),
    RouteText(
        method="GET",
        path="/api/v1/keys",
        name="listKeys",
        for_keys=False,
        tag="access",
        summary="The account's API keys, without their secrets",
        answers={200: answers.Keys},
        refusals=OF_AN_ACCOUNT,
    ),
    RouteText(
        method="POST",
        path="/api/v1/keys",
        name="createKey",
        for_keys=False,
        tag="access",
        summary="Make an API key; its secret is in this answer alone",
        body=bodies.KeyRequest,
        answers={201: answers.NewKey},
        refusals=(*OF_A_COMMAND, "LIMIT_REACHED"),
    ),
    RouteText(
        method="DELETE",
        path="/api/v1/keys/{id}",
        name="revokeKey",
        for_keys=False,
        tag="access",
        summary="Revoke an API key, and end its streams",
        answers={200: answers.Done},
        refusals=(*_OF_A_SESSION, "KEY_NOT_FOUND"),
    ),
    RouteText(
        method="GET",
        path="/api/v1/operator/account",
        name="findAccount",
        tag="access",
        summary="For operators: the account of an e-mail address",
        answers={200: answers.AccountFound},
        refusals=OF_AN_ACCOUNT,
        query={"email": {"type": "string", "maxLength": 254, "description": "The address"}},
        required=("email",),
        for_account=False,
    ),
    RouteText(
        method="POST",
        path="/api/v1/operator/sessions/end",
        name="endSessionsOf",
        tag="access",
        summary="For operators: end all sessions of an account",
        body=bodies.EmailRequest,
        answers={200: answers.Done},
        refusals=(*_OF_A_BODY, "UNAUTHORIZED", "ACCOUNT_CHANGED", *_OF_AN_APPEND),
        for_account=False,
        keyed=False,
    ),
)
