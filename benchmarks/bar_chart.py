"""A chart of bars as SVG, readable on light and dark pages, and with its figures as text for those who can't see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape

from figures import shown

WIDTH, NAMES, FIGURES, BAR, GAP, TOP = 820, 320, 90, 24, 10, 44
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}rect{fill:#8c959f}.marked{fill:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#6e7681}.marked{fill:#2f81f7}}"
)


def bar_chart(title: str, unit: str, values: Mapping[str, float], marked: Collection[str]) -> str:
    """One bar a name, in the mapping's order, from 0. marked: names whose bars stand out."""
    height = TOP + len(values) * (BAR + GAP)
    longest = max(values.values())
    told = "; ".join(f"{name}: {shown(value)} {unit}" for name, value in values.items())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(told)}</desc>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
    ]
    for row, (name, value) in enumerate(values.items()):
        y = TOP + row * (BAR + GAP)
        width = max(1.0, (WIDTH - NAMES - FIGURES) * value / longest)
        kind = ' class="marked"' if name in marked else ""
        lines += [
            f'<text x="{NAMES - 10}" y="{y + 17}" text-anchor="end">{escape(name)}</text>',
            f'<rect{kind} x="{NAMES}" y="{y}" width="{width:.1f}" height="{BAR}"/>',
            f'<text x="{NAMES + width + 8:.1f}" y="{y + 17}">{shown(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
