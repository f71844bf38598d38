"""What only operators may: find the account of an address, and end its sessions."""

from __future__ import annotations

from aiohttp import web

from exness_streams.api.access.caller import caller_of, not_signed_in
from exness_streams.api.access.guard import Guard, was_vouched_for
from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import EmailRequest
from exness_streams.api.commands import CommandDesk
from exness_streams.api.errors import ApiError, invalid_request
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.requests import only_known, read_body
from exness_streams.api.views.access_answers import AccountFound, Done
from exness_streams.domain.emails import normalized_email
from exness_streams.domain.identity import EndSessions
from exness_streams.domain.rejections import Rejection


class OperatorView(ApiView):
    """A route of operators. Their own cell has said that the session is alive before anything is done."""

    def __init__(self, app: object, web_server: object, desk: CommandDesk, guard: Guard, forwarding: Forwarding):
        super().__init__(app, web_server)
        self.desk, self.guard, self.forwarding = desk, guard, forwarding

    async def check_operator(self, request: web.Request) -> None:
        """401 for who is not signed in, 403 for who is no operator."""
        caller = caller_of(request)
        if caller.credential is None:
            raise not_signed_in("sign in as an operator")
        if not caller.is_operator:
            raise ApiError(403, "FORBIDDEN", "this is for the operators in EXNESS_OPERATORS")
        await self.forwarding.check_own_session(request)

    def account_id(self, email: str) -> str:
        """The account of an address. 400 when it is none."""
        address = normalized_email(email)
        if address is None:
            raise invalid_request("email", '"email" is not an e-mail address; send one such as anna@example.com')
        return self.guard.keys.account_id(address)


class AccountOfView(OperatorView):
    """GET /api/v1/operator/account?email="""

    query = None

    async def get(self, request: web.Request) -> web.Response:
        """The id of the account that an address signs in to, whether it has or not."""
        await self.check_operator(request)
        only_known(request, "email")
        return json_response(AccountFound(account=self.account_id(request.query.get("email", ""))))


class EndSessionsView(OperatorView):
    """POST /api/v1/operator/sessions/end"""

    def __init__(self, app: object, web_server: object, desk: CommandDesk, guard: Guard, forwarding: Forwarding):
        super().__init__(app, web_server, desk, guard, forwarding)
        self._end_at_owner = forwarding.to_owner_of(self._whose)(self._end)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """End all sessions of an account: somebody else may have them."""
        return await self._end_at_owner(request)

    async def _whose(self, request: web.Request) -> str:
        if not self.forwarding.was_passed_on(request):
            await self.check_operator(request)
        return self.account_id(EmailRequest.read(await read_body(request)).email)

    async def _end(self, request: web.Request) -> web.Response:
        if not was_vouched_for(request):
            raise not_signed_in("sign in as an operator")
        account_id = await self._whose(request)
        command = EndSessions(**self.desk.stamp(account_id, None))
        outcome = (await self.desk.settle(self.desk.accounts.cell_of(account_id), command)).outcome
        if isinstance(outcome, Rejection):
            raise ApiError.of(outcome)
        return json_response(Done(message="All sessions of the account have ended."))
