"""Lines over the number of files, both axes logarithmic, as SVG. It must not know what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 300, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 28, 70
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2")


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    lines: dict[str, list[tuple[float, float]]]
    """(files, value) of each line; values above 0."""


def svg(panels: list[Panel]) -> str:
    """The panels side by side."""
    drawn = "\n".join(
        f'<g transform="translate({number * WIDTH} 0)">\n{_panel(panel)}\n</g>' for number, panel in enumerate(panels)
    )
    width = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="10">\n'
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>\n{drawn}\n</svg>\n'
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    across, up = _decades([x for x, _ in points]), _decades([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * _share(x, across),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(y, up),
        )

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{escape(panel.title)}</text>']
    for power in range(across[0], across[1] + 1):
        x, y = at(10**power, 10 ** up[0])
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 13:.1f}" text-anchor="middle">{_number(power)}</text>')
    for power in range(up[0], up[1] + 1):
        x, y = at(10 ** across[0], 10**power)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 4:.1f}" y="{y + 3:.1f}" text-anchor="end">{_number(power)}</text>')
    for number, ((name, line), colour) in enumerate(zip(panel.lines.items(), COLOURS, strict=False)):
        placed = [at(*point) for point in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in placed]
        x, y = LEFT + 120 * (number % 2), HEIGHT - 30 + 14 * (number // 2)
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{escape(name)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 44}" text-anchor="end">files</text>')
    return "\n".join(parts)


def _decades(values: list[float]) -> tuple[int, int]:
    """The powers of ten around all values, at least one apart."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _share(value: float, decades: tuple[int, int]) -> float:
    return (log10(value) - decades[0]) / (decades[1] - decades[0])


def _number(power: int) -> str:
    return (
        f"{10**power:g}" if -3 <= power < 4 else f"{10 ** (power - 3):g}k" if power < 6 else f"{10 ** (power - 6):g}M"
    )
