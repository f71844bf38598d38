"""Private names of other packages that this one needs. The start checks that they exist.

A release that lacks one is refused there, in one line, and not in the middle of somebody's trade.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from types import CodeType
from typing import NamedTuple

from exness_streams.transport.faults import Misconfigured


class Private(NamedTuple):
    """A name that must be there. where: `module:Class`, or a module. An instance's own is set in its class's code."""

    where: str
    name: str


def is_there(private: Private) -> bool:
    """Whether the installed package still has it."""
    module, _, kind = private.where.partition(":")
    try:
        owner = import_module(module)
        owner = getattr(owner, kind) if kind else owner
    except (ImportError, AttributeError):
        return False
    if hasattr(owner, private.name):
        return True
    classes = owner.__mro__ if isinstance(owner, type) else ()
    return any(private.name in code.co_names for one in classes for code in _codes_of(one))


def _codes_of(kind: type) -> Iterable[CodeType]:
    return (code for value in vars(kind).values() if isinstance(code := getattr(value, "__code__", None), CodeType))


def refuse_without(package: str, needed: Iterable[Private], bounds: str) -> None:
    """Misconfigured, in one line when the installed package lacks a name. bounds: of the versions that have them."""
    for private in needed:
        if not is_there(private):
            raise Misconfigured(
                f"{package} {version(package)} has no {private.name} in {private.where}, which this program needs: "
                f"install {package}{bounds}"
            )
