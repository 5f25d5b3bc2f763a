#!/usr/bin/env python3
"""plot_balance.py CSV DIRECTORY: what sim_balance --csv measured, as SVG pictures, one a scenario.

Bars are the p99 over the oracle's, on a logarithmic scale: 1 is what somebody who knows every queue
could do. No dependencies; the same CSV gives the same bytes.
"""

import csv
import html
import math
import pathlib
import sys

WIDTH = 640
LABELS = 190  # px for the algorithms' names
ROW = 22
TOP = 46
RIGHT = 64  # px for the number behind a bar
GOOD, FAIR, POOR = "#2f7d4f", "#b8860b", "#a83232"


def colour(ratio: float) -> str:
    return GOOD if ratio <= 1.1 else FAIR if ratio <= 4 else POOR


def number(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def picture(scenario: str, rows: list[dict[str, str]]) -> str:
    ratios = [float(row["p99_ratio"]) for row in rows]
    decades = max(1, math.ceil(math.log10(max(ratios))))
    height = TOP + ROW * len(rows) + 12
    span = WIDTH - LABELS - RIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="18" font-size="14">{html.escape(scenario.replace("_", " "))}: '
        "p99 / the oracle's</text>",
    ]
    for decade in range(decades + 1):
        x = LABELS + span * decade / decades
        out.append(f'<path d="M{x:.1f} 32V{height - 8}" stroke="#ccc"/>')
        out.append(f'<text x="{x:.1f}" y="30" fill="#666" text-anchor="middle">{10 ** decade}</text>')
    for place, (row, ratio) in enumerate(zip(rows, ratios)):
        y = TOP + ROW * place
        width = max(2.0, span * math.log10(max(ratio, 1)) / decades)
        name = html.escape(row["algorithm"])
        out.append(f'<text x="{LABELS - 8}" y="{y + 8}" text-anchor="end">{name}</text>')
        out.append(
            f'<rect x="{LABELS}" y="{y - 4}" width="{width:.1f}" height="14" fill="{colour(ratio)}"/>'
        )
        out.append(f'<text x="{LABELS + width + 6:.1f}" y="{y + 8}">{number(ratio)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    scenarios: dict[str, list[dict[str, str]]] = {}
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["algorithm"] != "oracle":
                scenarios.setdefault(row["scenario"], []).append(row)
    directory = pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    for scenario, rows in scenarios.items():
        (directory / f"{scenario}.svg").write_text(picture(scenario, rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
