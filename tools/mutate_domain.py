"""Puts faults into exness_streams/domain, one at a time, and counts how many its fast tests notice.

    pip install -e '.[test,mutation]'
    nice python tools/mutate_domain.py --share 0.25 --report mutants.jsonl [module ...]

The faults are Cosmic Ray's, one for each place that has any, drawn by a seed: the same command draws the same ones.
Each is tried in a process of its own, which has pytest loaded and takes the module's changed text instead of the file:
no file is changed. What a former run has put into the report is not tried again.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PACKAGE = "exness_streams.domain"
TIMEOUT_S = 120.0

OWN_TESTS = {
    "access_rows": ["identity", "meta"],
    "account": ["account", "funding", "positions"],
    "candles": ["candle_spans", "complete_candles", "property/candles", "candle_host", "past_candles", "framer"],
    "account_history": ["account_history", "property/trade_sums", "history_host"],
    "cell": ["cell", "identity", "meta", "rules"],
    "codec": ["codec", "meta"],
    "commands": ["codec"],
    "events": ["codec", "positions"],
    "expiries": ["orders"],
    "frames": ["frame_builder", "framer", "future_ticks", "property/frames"],
    "hosts": ["settings", "rates", "requests"],
    "money": ["money", "property/double_rounding"],
    "orders": ["orders", "orders_at_market", "property/numbered_fold"],
    "outcomes": ["codec", "positions"],
    "outside_text": ["outside_text", "ticks"],
    "positions": ["positions", "exits", "property/double_rounding"],
    "quotes": ["quote_sides", "health", "ticks", "future_ticks", "positions"],
    "several_changes": ["orders_at_market", "exits"],
    "ticks": ["ticks", "property/hostile_ticks"],
    "transition": ["positions", "orders"],
    "triggers": ["triggers", "property/trigger_index"],
}
"""Where a module's tests are, if not (only) in the file of its name. They come first."""

RULES = [
    "formulas", "money", "positions", "exits", "orders", "orders_at_market", "triggers", "funding", "cell", "checks",
    "instruments", "golden_journal",
    "property/spread", "property/fold::test_frames_and_fold_do_what_the_naive_reference_does",
]  # fmt: skip
"""What trades end up in, whichever module has the fault."""

OF_NO_RULE = {
    "access_rows",
    "account_history",
    "candles",
    "emails",
    "hosts",
    "identity",
    "nearest",
    "outside_text",
    "price_grid",
}
"""Modules that no trade goes through: their own tests alone."""

LEFT_OUT = ("BinaryOperator_BitOr_", "Operator_Is_Eq", "Operator_IsNot_NotEq", "Operator_Eq_Is", "Operator_NotEq_IsNot")
"""`|` stands in types, and what is compared by identity (None, enumerations) is the same by equality."""


@dataclass(frozen=True)
class Mutant:
    """One fault. line, column: of its place, line from 1. name, occurrence: of the operator, as Cosmic Ray counts."""

    module: str
    line: int
    column: int
    name: str
    occurrence: int


@dataclass(frozen=True)
class Verdict:
    """What became of it. diff: its changed lines. ended: noticed, survived, timeout."""

    mutant: Mutant
    ended: str
    diff: list[str]
    seconds: float


def path_of(module: str) -> Path:
    """The file of a module of the domain."""
    return ROOT / "exness_streams" / "domain" / f"{module}.py"


def lines_without_rules(tree: ast.Module) -> set[int]:
    """Lines that mypy and the golden journal watch over: how a record is laid out, as frozen=True, and Protocols."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            if node.keywords:
                found.add(node.lineno)
            if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
                found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def mutants_of(module: str) -> list[Mutant]:
    """Every fault that can be put into a module."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = path_of(module).read_text()
    passed_over = lines_without_rules(ast.parse(source))
    found = []
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or any(part in name for part in LEFT_OUT):
            continue
        occurrence = 0
        for node in ast_nodes(get_ast(source)):
            for (line, column), _ in operator().mutation_positions(node):
                if line not in passed_over:
                    found.append(Mutant(module, line, column, name, occurrence))
                occurrence += 1
    return found


def drawn(modules: Sequence[str], share: float, seed: int) -> list[Mutant]:
    """One fault for each place, and of those a share."""
    rng = random.Random(seed)  # nosec B311 - a sample
    chosen = []
    for module in modules:
        places: dict[tuple[int, int], list[Mutant]] = {}
        for mutant in mutants_of(module):
            places.setdefault((mutant.line, mutant.column), []).append(mutant)
        singles = [rng.choice(places[place]) for place in sorted(places)]
        chosen += sorted(rng.sample(singles, round(share * len(singles))), key=lambda one: (one.line, one.column))
    return chosen


def mutated(mutant: Mutant) -> str | None:
    """The module's text with the fault; None when it is none: the same to Python, or no Python at all."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = path_of(mutant.module).read_text()
    text: str | None = mutate_code(source, get_operator(mutant.name)(), mutant.occurrence)
    try:
        is_same = text is None or ast.dump(ast.parse(text)) == ast.dump(ast.parse(source))
    except SyntaxError:  # the operator stood where it meant something else, as the ** of a call
        return None
    return None if is_same else text


def tests_of(module: str) -> list[list[str]]:
    """The files to run: the module's own, and then, if those notice nothing, the others."""
    own = OWN_TESTS.get(module, [module])
    others = [] if module in OF_NO_RULE else [name for name in RULES if name not in own]
    return [paths for names in (own, others) if (paths := _paths(names))]


def _paths(names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        folder, _, rest = name.rpartition("/")
        file, _, test = rest.partition("::")
        path = f"tests/{folder or 'unit'}/test_{file}.py"
        if (ROOT / path).exists():
            found.append(f"{path}::{test}" if test else path)
    return found


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another text than its file's."""

    def __init__(self, module: str, text: str) -> None:
        self._name, self._path, self._text = f"{PACKAGE}.{module}", path_of(module), text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._text, str(self._path), "exec"), module.__dict__)  # nosec B102 - the purpose


def preload() -> None:
    """Import what tests import, so that the processes of the mutants need not; nothing of this project."""
    import aiohttp.test_utils
    import faust
    import hypothesis
    import msgspec
    import pydantic_settings
    import pytest
    import sortedcontainers

    loaded = (aiohttp, faust, hypothesis, msgspec, pydantic_settings, pytest, sortedcontainers)
    if not all(loaded) or any(name.startswith("exness_streams") for name in sys.modules):
        raise RuntimeError("this process must know what tests import, and nothing of this project")


def run_tests(module: str, text: str, tests: Sequence[str]) -> int:
    """pytest's exit code; in this process, which is of no use afterwards."""
    import pytest
    from hypothesis import HealthCheck, Phase, settings

    # Found is found: the smallest example is of no interest.
    settings.register_profile(
        "mutants",
        phases=[Phase.explicit, Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    sys.meta_path.insert(0, MutantFinder(module, text))
    options = [
        "-x",
        "-q",
        "-n",
        "0",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=mutants",
        "--hypothesis-seed=1",
    ]
    return int(pytest.main([*options, *tests]))


def tried(module: str, text: str) -> str:
    """noticed, survived or timeout."""
    for tests in tests_of(module):
        ended = _tried(module, text, tests)
        if ended != "survived":
            return ended
    return "survived"


def _tried(module: str, text: str, tests: Sequence[str]) -> str:
    child = os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        code = 1
        try:
            code = run_tests(module, text, tests)
        finally:
            os._exit(code)
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "noticed"
        if time.monotonic() > deadline_s:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout"
        time.sleep(0.01)


def verdicts(mutants: Sequence[Mutant]) -> Iterator[Verdict]:
    """Try each. Those that mean the same to Python are passed over."""
    for mutant in mutants:
        text = mutated(mutant)
        if text is None:
            continue
        before, after = path_of(mutant.module).read_text().splitlines(), text.splitlines()
        diff = [line for line in unified_diff(before, after, n=0, lineterm="") if line[:3] not in ("---", "+++")]
        begun_s = time.monotonic()
        ended = tried(mutant.module, text)
        yield Verdict(mutant, ended, diff, round(time.monotonic() - begun_s, 1))


def read_report(path: Path) -> dict[Mutant, str]:
    """What former runs have found."""
    found: dict[Mutant, str] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        entry = json.loads(line)
        found[Mutant(**entry["mutant"])] = entry["ended"]
    return found


def print_score(found: dict[Mutant, str]) -> None:
    """A table by module. A mutant that never ends is noticed."""
    of_module = Counter(mutant.module for mutant in found)
    missed = Counter(mutant.module for mutant, ended in found.items() if ended == "survived")
    for module in sorted(of_module):
        print(f"{module:18} {of_module[module] - missed[module]:4} of {of_module[module]:4} noticed")
    total, lost = len(found), missed.total()
    print(f"{'all':18} {total - lost:4} of {total:4} noticed ({100 * (total - lost) / max(1, total):.1f} %)")


def main() -> int:
    """0 when every mutant is noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="of exness_streams/domain; without any, all")
    parser.add_argument("--share", type=float, default=1.0, help="of the places, from 0 to 1 (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, default=Path(tempfile.gettempdir()) / "domain-mutants.jsonl")
    asked = parser.parse_args()
    known = sorted(path.stem for path in path_of("cell").parent.glob("*.py") if path.stem != "__init__")
    if unknown := set(asked.modules) - set(known):
        parser.error(f"no module of the domain: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    os.chdir(ROOT)
    mutants = drawn(asked.modules or known, asked.share, asked.seed)
    preload()
    unchanged = asked.modules[0] if asked.modules else known[0]
    if tried(unchanged, path_of(unchanged).read_text()) != "survived":
        print("the tests fail without any mutant: nothing was tried", file=sys.stderr)
        return 2
    found = read_report(asked.report)
    with asked.report.open("a") as report:
        for verdict in verdicts([mutant for mutant in mutants if mutant not in found]):
            found[verdict.mutant] = verdict.ended
            report.write(json.dumps(asdict(verdict)) + "\n")
            report.flush()
            if verdict.ended != "noticed":
                place = f"{verdict.mutant.module}.py:{verdict.mutant.line}"
                print(verdict.ended, place, *verdict.diff[1:], sep="\n    ", flush=True)
    asked_for = {mutant: found[mutant] for mutant in mutants if mutant in found}
    print_score(asked_for)
    return int("survived" in asked_for.values())


if __name__ == "__main__":
    sys.exit(main())
