"""Draws which room of the package imports which, in docs/architecture.md: `python tools/draw_imports.py`.

--check changes nothing, and fails when the drawing there is not that of the code. --counts prints the arrows with the
number of imports behind each; the document has none, since every change would make them stale.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from pathlib import Path

import grimp

PACKAGE = "exness_streams"
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by tools/draw_imports.py -->", "<!-- end of the drawing -->"
EVERYBODYS = ("domain", "messages")
"""Arrows to these would hide the others."""

Arrows = Counter[tuple[str, str]]


def arrows() -> Arrows:
    """(importing room, imported room): how many modules are imported by how many, imports for types included."""
    graph = grimp.build_graph(PACKAGE)
    found: Arrows = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = room(module), room(imported)
            if ends[0] != ends[1] and PACKAGE not in ends:  # the package itself has its version, nothing else
                found[ends] += 1
    return found


def room(module: str) -> str:
    """The room of exness_streams.api.views.page is api."""
    return module.split(".")[1] if "." in module else module


def floors(found: Arrows) -> list[list[str]]:
    """Rooms by their height above those that import nothing, the highest first; alphabetical on each floor."""

    @cache
    def height(name: str) -> int:
        return 1 + max((height(below) for above, below in found if above == name), default=-1)

    rooms = sorted({name for ends in found for name in ends})
    heights = sorted({height(name) for name in rooms}, reverse=True)
    return [[name for name in rooms if height(name) == number] for number in heights]


def drawing(found: Arrows) -> str:
    """The same in Mermaid's words."""
    lines = ["```mermaid", "flowchart TD"]
    for names in floors(found):
        lines += [f"    {name}" for name in names]
    lines += [f"    {above} --> {below}" for above, below in sorted(found) if below not in EVERYBODYS]
    return "\n".join([*lines, "```"])


def main(options: list[str]) -> int:
    """Exit code 1: the drawing is stale."""
    found = arrows()
    if "--counts" in options:
        for (above, below), count in sorted(found.items()):
            print(f"{above:12} -> {below:12} {count:4}")
        return 0
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        print(f"{DOCUMENT.name} lacks the lines {BEGIN} and {END}: put them where the drawing belongs")
        return 1
    drawn = f"{before}{BEGIN}\n\n{drawing(found)}\n\n{END}{after}"
    if "--check" in options:
        if drawn != text:
            print(f"the drawing in {DOCUMENT.name} is stale: python tools/draw_imports.py")
        return int(drawn != text)
    DOCUMENT.write_text(drawn, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
