"""The tests on each Python, and the checks, in environments of their own: `nox -l` lists, `nox -s lint` runs one.

A Python that is not installed is skipped, with a line. What needs more than Python is in `.ci/run`.
"""

from __future__ import annotations

import nox

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.error_on_external_run = True


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All that need Python alone: `nox -s tests-3.10 -- tests/unit -x` passes arguments on to pytest."""
    session.install("--editable", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, import contracts, and the drawing of the imports."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("python", "tools/draw_imports.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    session.install("--editable", ".[dev]")
    session.run("mypy", "--strict", "exness_streams", "tools")
    session.chdir("benchmarks")
    session.run("mypy", "--strict", ".")


@nox.session
def coverage(session: nox.Session) -> None:
    """Which lines the tests reach that need Python alone, in the processes that they start, too."""
    session.install("--editable", ".[dev]")
    session.run("pytest", "--cov", *session.posargs)
