"""A route of the API as a Faust web view, and how it gets its parts and its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import aiohttp
from aiohttp import web
from faust.web.views import View

from exness_streams.api.errors import Handler, answer_to_failure
from exness_streams.api.number_form import answering, form_asked, say_so
from exness_streams.api.requests import only_known

Way = Callable[[Handler], Handler]
"""From a view's own answer to the one that is given: Forwarding's, that may ask another worker."""

Parts = ParamSpec("Parts")
AnyView = TypeVar("AnyView", bound="ApiView")


def here(handler: Handler) -> Handler:
    """The way of what every worker answers by itself."""
    return handler


class ApiView(View):  # type: ignore[misc]  # faust is untyped here
    """A Faust view of exactly the methods that it defines: `get` (and HEAD with it), `post`, `delete`.

    What a path names ("{id}") is in request.match_info.

    Its refusals are shaped here and not in a middleware, so that Faust's sensors see them with their status.
    """

    way: Way = staticmethod(here)
    query: ClassVar[tuple[str, ...] | None] = ()
    """The query parameters that it takes, `numbers` aside. None: the view itself says which."""

    def __init__(self, app: Any, web_server: Any) -> None:
        super().__init__(app, web_server)
        own = [name for name in ("get", "post", "delete") if getattr(type(self), name) is not getattr(View, name)]
        self.methods = {name: self._answering(self.way(getattr(self, name))) for name in own}
        if "get" in self.methods:
            self.methods["head"] = self.methods["get"]

    def get_methods(self) -> set[str]:
        """Faust's, which would take HEAD on every route."""
        return {name.upper() for name in self.methods}

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Faust's, which makes two types anew for each request."""
        sensors, response = self.app.sensors, None
        state = sensors.on_web_request_start(self.app, request, view=self)
        try:
            response = await self.methods[request.method.lower()](request)
        finally:
            sensors.on_web_request_end(self.app, request, response, state, view=self)
        return response

    def _answering(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = await shaped(request)
            say_so(request, response)
            return response

        async def shaped(request: web.Request) -> web.StreamResponse:
            try:
                if self.query is not None:
                    only_known(request, *self.query)
                with answering(form_asked(request)):
                    return await handler(request)
            except (ConnectionError, aiohttp.ClientConnectionError):
                raise  # nobody reads the answer, and Faust's monitor does not know its status, 499
            except Exception as failure:
                return answer_to_failure(request, failure)

        return answer


def mount(
    app: Any,
    path: str,
    way: Way,
    view: Callable[Concatenate[Any, Any, Parts], AnyView],
    *parts: Parts.args,
    **named: Parts.kwargs,
) -> None:
    """Give a view its place with `app.page`. Faust makes the view itself: its parts go into a class of this app's."""

    kind: Any = view

    def init(self: AnyView, app: Any, web_server: Any) -> None:
        kind.__init__(self, app, web_server, *parts, **named)

    about = {"__init__": init, "__doc__": kind.__doc__, "__module__": kind.__module__, "way": staticmethod(way)}
    app.page(path)(type(kind.__name__, (kind,), about))
