#!/usr/bin/env python3
"""Draws docs/peers.svg from what the benchmark `peers` has left in target/peers.json.

Usage: benches/peers/chart.py [JSON [SVG]]

A group of bars for each measure, one bar for each server, on a logarithmic axis; every bar is labelled with its
figure and those of other servers with how many times hearth's over SIMP that is. It reads well on light and dark.
"""

import json
import math
import statistics
import sys
from html import escape

# (measure, title, unit); numbers of idle users come from the file.
GROUPS = [
    ("message, 1 in flight", "acknowledged message, one in flight per pair: server CPU"),
    ("message, 16 in flight", "acknowledged message, 16 in flight per pair: server CPU"),
    ("message between two domains, 1 in flight", "message between two domains, one in flight: CPU of both servers"),
    ("message between two domains, 16 in flight", "message between two domains, 16 in flight: CPU of both servers"),
    ("5000 per second, p99", "5,000 messages per second: p99 from due time to acknowledgement, of those who hold the rate"),
    ("one of 1000 notifications", "one of 1,000 presence notifications: server CPU"),
    ("login and logout", "login and logout, connection included: server CPU"),
    ("idle connection, 5000 of them", "idle user, 5,000 connected: server memory each"),
    ("idle connection, 19000 of them", "idle user, 19,000 connected: server memory each"),
]
COLOURS = {
    "bare relay": "#8a8f98",
    "hearth SIMP": "#d9480f",
    "hearth IMTP": "#f08c3a",
    "Prosody": "#5c7cfa",
    "ejabberd": "#2f9e8f",
    "Kamailio": "#9c5fd0",
    "Kamailio UDP": "#b98ae0",
    "Kamailio as shipped": "#7a3fb0",
}
WIDTH, LEFT, RIGHT = 880, 158, 150
BAR, GAP, TITLE, PADDING = 17, 4, 30, 16
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.quiet { fill: #59636e; font-size: 11.5px; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.paper { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .quiet { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .paper { fill: #0d1117; }
}
"""


def figure(value):
    """Three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def decades(values):
    """The powers of ten around some values, with room for the shortest bar to be seen."""
    low = math.floor(math.log10(min(values) / 2))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def group(out, top, title, unit, bars):
    """Draws one measure; gives where the next one may begin."""
    low, high = decades([value for _, value in bars])
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    bottom = top + TITLE + len(bars) * (BAR + GAP)
    out.append(f'<text class="title" x="{PADDING}" y="{top + 17}">{escape(title)}</text>')
    for power in range(low, high + 1):
        x = LEFT + (power - low) * scale
        label = f"{10**power:,}" if power >= 0 else f"{10**power:g}"
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{top + TITLE - 3}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{label} {unit}</text>')
    ours = next((value for name, value in bars if name == "hearth SIMP"), None)
    for index, (name, value) in enumerate(bars):
        y = top + TITLE + index * (BAR + GAP)
        length = max((math.log10(value) - low) * scale, 2)
        text = f"{figure(value)} {unit}"
        if ours and not name.startswith("hearth") and name != "bare relay":
            times = value / ours
            text += f" (×{times:.0f})" if times >= 10 else f" (×{times:.1f})"
        colour = COLOURS.get(name, "#8a8f98")
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + length + 7:.1f}" y="{y + 13}">{text}</text>')
    return bottom + 36


def main():
    source = sys.argv[1] if len(sys.argv) > 1 else "target/peers.json"
    target = sys.argv[2] if len(sys.argv) > 2 else "docs/peers.svg"
    with open(source, encoding="utf-8") as file:
        results = json.load(file)
    measures = {measure["name"]: measure for measure in results["measures"]}
    out, top = [], PADDING + 46
    for name, title in GROUPS:
        measure = measures.get(name)
        if measure is None:
            continue
        rounds = measure["rounds"]
        bars = [(who, statistics.median(rounds[who])) for who in COLOURS if who in rounds]
        if bars:
            top = group(out, top, title, measure["unit"], bars)
    versions = ", ".join(p["version"] for p in results["peers"] if p["name"] in COLOURS and p["name"] != "bare relay")
    rounds = max(len(r) for m in results["measures"] for r in m["rounds"].values())
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
        'role="img" aria-label="What hearth, Prosody, ejabberd and Kamailio cost">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{top}"/>',
        f'<text class="title" x="{PADDING}" y="{PADDING + 12}" style="font-size:16px">'
        "Less is better; the axes are logarithmic</text>",
        f'<text class="quiet" x="{PADDING}" y="{PADDING + 32}">'
        f"{'Medians of' if rounds > 1 else 'From'} {rounds} round{'s' if rounds > 1 else ''}, all servers in turn on one "
        "core; in brackets: how many times hearth over SIMP</text>",
    ]
    tail = [f'<!-- {escape(versions)} -->', "</svg>"]
    with open(target, "w", encoding="utf-8") as file:
        file.write("\n".join(head + out + tail) + "\n")


if __name__ == "__main__":
    main()
