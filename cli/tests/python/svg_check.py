"""Reads a plot with an XML parser: well-formed, texts that do not overlap, lanes of at least 16 px.

usage: svg_check.py FILE timeline|migration|matrix|latency|boot|stop-machine CPUS
"""

import sys
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def number(text):
    return float(text.rstrip("px")) if text else 0.0


def box(element):
    """An estimate of a text's rectangle, on the generous side of a sans-serif font."""
    size = number(element.get("font-size", "12"))
    text = "".join(element.itertext()).strip()
    width = 0.55 * size * len(text)
    x, y = number(element.get("x", "0")), number(element.get("y", "0"))
    anchor = element.get("text-anchor", "start")
    left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
    # plotters writes y of the baseline with a dy that shifts by part of the font size.
    dy = element.get("dy", "0")
    units = {"em": size, "ex": size / 2}
    shift = number(dy[:-2]) * units[dy[-2:]] if dy[-2:] in units else number(dy)
    bottom = y + shift + 0.2 * size
    if element.get("transform"):
        return None
    return (left, bottom - size, left + width, bottom, text)


def overlap(a, b):
    return min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1


def main():
    path, kind, cpus = sys.argv[1], sys.argv[2], int(sys.argv[3])
    root = ET.parse(path).getroot()
    assert root.tag == SVG + "svg", root.tag
    width, height = number(root.get("width")), number(root.get("height"))
    assert 400 <= width <= 4000 and 200 <= height <= 8000, (width, height)

    boxes = [b for b in (box(e) for e in root.iter(SVG + "text")) if b and b[4]]
    assert len(boxes) >= 5, f"only {len(boxes)} texts"
    for index, a in enumerate(boxes):
        for b in boxes[index + 1 :]:
            assert not overlap(a, b), f"texts overlap: {a} and {b}"
    for b in boxes:
        assert -2 <= b[0] and b[2] <= width + 2, f"text leaves the picture: {b} of {width}"

    texts = " ".join(b[4] for b in boxes)
    for unit in ("moves",) if kind == "matrix" else ("ms", "us", "ns"):
        if unit in texts:
            break
    else:
        raise AssertionError("no unit in the picture: " + texts)

    if kind == "timeline":
        for cpu in range(cpus):
            names = [b for b in boxes if b[4].lower().replace(" ", "").startswith(f"cpu{cpu}")]
            assert names, f"no label for CPU {cpu}: {texts}"
        lanes = sorted(
            {b[1] for cpu in range(cpus) for b in boxes if b[4].lower().replace(" ", "") == f"cpu{cpu}"}
        )
        gaps = [b - a for a, b in zip(lanes, lanes[1:])]
        assert all(gap >= 16 for gap in gaps), f"lanes {gaps} px apart"
        drawn = [r for r in root.iter(SVG + "rect") if number(r.get("width")) < width]
        rects = [(number(r.get("y")), number(r.get("height")), r.get("fill")) for r in drawn]
        # The lanes' ground is one rectangle for each CPU; what ran lies on it, as high as it.
        ground = [r for r in drawn if number(r.get("width")) > width / 2 and r.get("fill") == "#EEEEEE"]
        lanes = {number(r.get("y")): number(r.get("height")) for r in ground}
        assert len(lanes) == cpus and all(high >= 16 for high in lanes.values()), lanes
        stopper = "#CC3311"
        ran = [fill for y, high, fill in rects if lanes.get(y) == high]
        assert stopper in ran, "no stopper ran in the picture"
        bottom = max(y + high for y, high in lanes.items())
        squares = [fill for y, _, fill in rects if y >= bottom]
        assert squares.count(stopper) == 1, f"legend squares {squares}"
        assert len(set(squares)) == len(squares), f"two things have one colour: {squares}"
        assert "stopper (migration/N)" in texts and "arrow: a move" in texts, texts
    print(f"{path}: {len(boxes)} texts, {width:.0f} x {height:.0f}")


if __name__ == "__main__":
    main()
