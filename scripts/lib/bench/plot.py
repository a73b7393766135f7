"""Owns the plot: one panel a place, bars on a logarithmic scale, legible on light and on dark."""

import itertools
import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from bench import bases
from bench.aws import FNOX
from bench.engine import BAKE, BUILD, BUILDAH, COMMIT, FLOOR, RAW_COMMIT
from bench.measure import Comparison, Measured
from bench.registry import CRANE, REGCTL

WAYS = {
    BAKE: "bake",
    FLOOR: "floor",
    BUILD: "build",
    COMMIT: "commit",
    RAW_COMMIT: "raw-commit",
    BUILDAH: "buildah",
    CRANE: "crane",
    REGCTL: "regctl",
    FNOX: "fnox",
}

PANEL, GAP, MARGIN = 440, 40, 24
NAME_WIDTH, VALUE_WIDTH = 128, 64
BAR, LINE, TITLE = 11, 14, 30
HEAD = 76

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .page { fill: #ffffff } .title { font-size: 16px; font-weight: 600 } .place { font-size: 13px; font-weight: 600 }
  .quiet { fill: #59636e } .grid { stroke: #d1d9e0; stroke-width: 1 }
  .bake { fill: #1a7f37 } .floor { fill: #a6c8ae } .build { fill: #0969da } .commit { fill: #bf8700 } .raw-commit { fill: #e3c57b }
  .buildah { fill: #8250df } .crane { fill: #cf222e } .regctl { fill: #bf3989 } .fnox { fill: #1b7c83 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .page { fill: #0d1117 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d }
    .bake { fill: #3fb950 } .floor { fill: #2b5a36 } .build { fill: #4493f8 } .commit { fill: #d29922 } .raw-commit { fill: #6e5418 }
    .buildah { fill: #ab7df8 } .crane { fill: #f85149 } .regctl { fill: #db61a2 } .fnox { fill: #39c5cf }
  }
"""


class Scale:
    """Milliseconds to pixels, in whole decades."""

    def __init__(self, times: list[float], width: float) -> None:
        self.first = math.floor(math.log10(min(times)))
        self.last = math.ceil(math.log10(max(times)))
        self.width = width

    def at(self, time: float) -> float:
        """Returns how far from the axis a time is."""
        return (math.log10(time) - self.first) / (self.last - self.first) * self.width

    def marks(self) -> list[float]:
        """Returns the times of the grid's lines."""
        return [10.0**power for power in range(self.first, self.last + 1)]


def svg(comparisons: list[Comparison]) -> str:
    """Returns the plot as a document."""
    places = [(place, list(of)) for place, of in itertools.groupby(by_place(comparisons), lambda one: one.place)]
    times = [way.wall * 1000 for comparison in comparisons for way in comparison.ways]
    scale = Scale(times, PANEL - NAME_WIDTH - VALUE_WIDTH)
    heights = [height(of) for _, of in places]
    rows = [max(heights[first : first + 2]) for first in range(0, len(heights), 2)]
    tops = [HEAD + sum(rows[:row]) for row in range(len(rows))]
    width, bottom = 2 * MARGIN + 2 * PANEL + GAP, HEAD + sum(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom}" role="img">',
        "<title>Time of each way to put secrets onto a base</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{bottom}"/>',
        text(MARGIN, 30, "Time to put secrets onto an image: less is better, each grid line is ten times the last", "title"),
        *legend([way for way in WAYS if any(comparison.way(way) for comparison in comparisons)]),
    ]
    for number, (place, of) in enumerate(places):
        parts += panel(MARGIN + number % 2 * (PANEL + GAP), tops[number // 2], place, of, scale)
    return "\n".join([*parts, "</svg>", ""])


def by_place(comparisons: list[Comparison]) -> list[Comparison]:
    """Brings the bases of each place together; the order of the places stays."""
    places = list(dict.fromkeys(comparison.place for comparison in comparisons))
    return sorted(comparisons, key=lambda comparison: places.index(comparison.place))


def height(comparisons: list[Comparison]) -> int:
    """Returns the height of a panel."""
    return TITLE + sum(group_height(comparison) for comparison in comparisons) + 30


def group_height(comparison: Comparison) -> int:
    return LINE * len(comparison.ways) + 10


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def legend(ways: list[str]) -> Iterator[str]:
    x: float = MARGIN
    for way in ways:
        yield f'<rect class="{WAYS[way]}" x="{x:.0f}" y="46" width="11" height="11" rx="2"/>'
        yield text(x + 16, 56, way, "quiet")
        x += 34 + 6.6 * len(way)


def panel(x: float, y: float, place: str, comparisons: list[Comparison], scale: Scale) -> Iterator[str]:
    """Draws one place."""
    axis, bottom = x + NAME_WIDTH, y + height(comparisons) - 30
    yield text(x, y + 16, place, "place")
    for time in scale.marks():
        at = axis + scale.at(time)
        yield f'<path class="grid" d="M{at:.1f} {y + TITLE - 4:.0f}V{bottom:.0f}"/>'
        yield text(at, bottom + 14, duration(time), "quiet", "middle")
    top = y + TITLE
    for comparison in comparisons:
        middle = top + LINE * len(comparison.ways) / 2 + 2
        yield text(axis - 8, middle, bases.ALL[comparison.base][0], "", "end")
        for number, way in enumerate(ordered(comparison)):
            yield from bar(axis, top + LINE * number, way, scale)
        top += group_height(comparison)


def ordered(comparison: Comparison) -> list[Measured]:
    """Returns the ways in the order of the legend."""
    return sorted(comparison.ways, key=lambda way: list(WAYS).index(way.name))


def bar(axis: float, top: float, way: Measured, scale: Scale) -> Iterator[str]:
    """Draws one way."""
    time = way.wall * 1000
    length = scale.at(time)
    yield f'<rect class="{WAYS[way.name]}" x="{axis:.1f}" y="{top:.1f}" width="{length:.1f}" height="{BAR}" rx="1.5"/>'
    yield text(axis + length + 5, top + BAR - 1, duration(time), "quiet")


def duration(milliseconds: float) -> str:
    """Returns a time with the digits that it is worth."""
    return f"{milliseconds / 1000:.3g} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
