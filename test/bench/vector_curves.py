"""Recall and throughput: interpolation at equal recall, and the drawing of the curves."""
import math


def at_recall(curve, recall):
    """Queries a second at a recall, between the two points of the curve around it; None beyond them.

    curve: (recall, queries a second) with rising ef_search. Between two points the logarithm of the
    rate is taken to be linear in the logarithm of what is missed.
    """
    def miss(r):
        return math.log(max(1 - r, 1e-5))

    best = None
    for (r0, q0), (r1, q1) in zip(curve, curve[1:]):
        if r0 <= recall <= r1 and r1 > r0:
            share = (miss(recall) - miss(r0)) / (miss(r1) - miss(r0))
            rate = math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0)))
            best = max(best or 0, rate)
    return best


COLOURS = ["#1f6feb", "#d1580a", "#2da44e"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 300, 56, 14, 30, 44
LOWEST, HIGHEST = 0.9, 0.9995


def _x(recall):
    span = math.log(1 - LOWEST) - math.log(1 - HIGHEST)
    recall = min(max(recall, LOWEST), HIGHEST)
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(1 - LOWEST) - math.log(1 - recall)) / span


def _panel(name, curves):
    """One set: curves is {label: [(recall, queries a second)]}."""
    rates = [q for c in curves.values() for r, q in c if r >= LOWEST]
    low, high = math.log(min(rates) * 0.8), math.log(max(rates) * 1.25)

    def y(rate):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log(rate)) / (high - low)

    out = [f'<text x="{WIDTH / 2}" y="16" text-anchor="middle" font-weight="bold">{name}</text>']
    for recall in (0.9, 0.95, 0.98, 0.99, 0.995, 0.999):
        out.append(f'<line x1="{_x(recall):.1f}" y1="{TOP}" x2="{_x(recall):.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{_x(recall):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{recall:g}</text>')
    for exponent in range(0, 6):
        for factor in (1, 2, 5):
            rate = factor * 10 ** exponent
            if low <= math.log(rate) <= high:
                out.append(f'<line x1="{LEFT}" y1="{y(rate):.1f}" x2="{WIDTH - RIGHT}" y2="{y(rate):.1f}" stroke="#eee"/>'
                           f'<text x="{LEFT - 4}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate:,}</text>')
    for colour, (label, curve) in zip(COLOURS, curves.items()):
        points = [(_x(r), y(q)) for r, q in curve if LOWEST <= r]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in points]
    for i, (colour, label) in enumerate(zip(COLOURS, curves)):
        out.append(f'<text x="{LEFT + 6 + 90 * i}" y="{HEIGHT - 6}" fill="{colour}">{label}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 28}" text-anchor="end">recall@10</text>'
               f'<text x="{LEFT}" y="{TOP - 4}">queries/s, two clients</text>')
    return "".join(out)


def draw(panels, path):
    """panels: {set: {label: curve}}."""
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(panels)}" height="{HEIGHT}" '
                   'font-family="sans-serif" font-size="10">\n<rect width="100%" height="100%" fill="white"/>\n')
        for i, (name, curves) in enumerate(panels.items()):
            file.write(f'<g transform="translate({WIDTH * i},0)">{_panel(name, curves)}</g>\n')
        file.write("</svg>\n")
