#!/usr/bin/env python3
# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Makes the fictional Land Auenmark: register files and map, for the demo and the tests.

Same script, same bytes: randomness is seeded, coordinates are rounded. Standard library only.

    make.py            writes the files beside itself
    make.py --check    exit code 1 if a file differs from what the script makes

Nothing here is real, and it must stay so: the Land key 97 of the AGS is given to no Land, the map lies in the
North Sea, names were checked against the lists of German, Austrian and Swiss municipalities, mail addresses end in
`.example` (RFC 2606), telephone numbers come from the block that the Bundesnetzagentur keeps for fiction
(030 23125 000 to 999), inner addresses are private (RFC 1918).
"""
import csv, hashlib, io, json, random, sys, uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAND = "97"
SEED = 97
STEP = 1.0            # distance of two sites on the grid, in map units
LON, LAT = 3.2, 55.3  # south-west corner of the map, in the North Sea
UNIT_LON, UNIT_LAT = 0.19, 0.107  # one map unit in degrees: about 12 km either way at this latitude

# Kreisfreie Städte first, then one line per Landkreis: key, name, seat first.
CITIES = [("97111000", "Auenstadt", 131_400), ("97112000", "Wehrmünde", 74_800)]
KREISE = [
    ("97151", "Oberaue", "Lindrode Tiefenlohe Steinlohe Wolfsried Grauenstein Hirschlohn Basaltrode Schieferau Hammerlohe Köhlerau"),
    ("97152", "Kranichland", "Kranichwerth Reiherau Storchwerder Bussardau Habichtsrode Schwanhude Kiebitzmoor Elsterrath Lerchenwerth Zeisigfeld"),
    ("97153", "Wehrgau", "Rabenfurt Eulenfurt Dachsfurt Amselfurt Kaltenbrück Quellstedt Mühlwerth Kiesfurt Holunderfurt Ottermünde"),
    ("97154", "Sielland", "Dornsiel Ulmensiel Quittensiel Zieglersiel Ottersiel Warftmünde Erlsiel Weidenhude Drosselhude Wattrode"),
    ("97155", "Lindgau", "Hohenlind Haselrade Fichtelrade Eibenrode Espenlohe Pappelrode Buchenwerth Ahornsfelde Ginsterrode Birkstetten"),
    ("97156", "Moorwald", "Erlenwerder Torfwerder Mooswerder Krähenmoor Tannwerder Luchsrode Biberwerth Kolkrade Fuchsrath Mardersleben"),
]
# Constituents that are no municipality: id, name, kind, AGS of the seat, people served.
OTHERS = [
    ("it-auenmark", "Kommunale IT Auenmark AöR", "provider", "97111000", 0),
    ("stadtwerke-auenstadt", "Stadtwerke Auenstadt GmbH", "utility", "97111000", 131_400),
    ("kreiskrankenhaus-rabenfurt", "Kreiskrankenhaus Rabenfurt", "hospital", "97153001", 86_000),
    ("wzv-kranichland", "Wasserzweckverband Kranichland", "zweckverband", "97152001", 61_000),
]
# name, default constituent, all served, interval in seconds. Roles in the demo: see README.md.
SENSORS = [
    ("gw-auenstadt", "auenstadt", ["auenstadt"], 10),
    ("gw-wehrmuende", "wehrmuende", ["wehrmuende"], 10),
    ("gw-it-auenmark", "tiefenlohe", ["tiefenlohe", "grauenstein"], 10),
    ("gw-kranichwerth", "kranichwerth", ["kranichwerth"], 10),
    ("gw-rabenfurt", "rabenfurt", ["rabenfurt"], 10),
    ("gw-hohenlind", "hohenlind", ["hohenlind"], 10),
    ("gw-dornsiel", "dornsiel", ["dornsiel"], 10),
    ("gw-erlenwerder", "erlenwerder", ["erlenwerder"], 10),
    ("gw-reiherau", "reiherau", ["reiherau"], 10),
    ("gw-krankenhaus-rabenfurt", "kreiskrankenhaus-rabenfurt", ["kreiskrankenhaus-rabenfurt"], 10),
]
FIRST = "Anke Bernd Carla Dieter Elif Frank Gesa Holger Ines Jörg Katrin Lars Meike Nils Olga Peter Renate Sönke Tanja Uwe".split()
LAST = "Behrens Cordes Dierks Ehlers Friedrichs Gerken Hinrichs Janßen Kröger Lüders Mohr Niemann Oltmanns Petersen Rohde Stamer Thiessen Voss Wilken Yilmaz".split()


def slug(name):
    """A constituent id from a name: a-z, 0-9 and -."""
    out = name.lower()
    for umlaut, plain in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), (" ", "-")):
        out = out.replace(umlaut, plain)
    return out


def noise(*key):
    """A number in [-1, 1) that depends on the key only."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1


# ---- the map: Voronoi cells of a jittered grid, with edges bent the same way on both sides


def sites(count):
    """Grid points with jitter, the `count` nearest to the middle by a bent distance first; the rest surrounds them."""
    rng, points = random.Random(SEED), []
    for row in range(14):
        for col in range(14):
            x = (col + 0.5 * (row % 2)) * STEP + rng.uniform(-0.3, 0.3)
            y = row * 0.87 * STEP + rng.uniform(-0.26, 0.26)
            points.append((round(x, 4), round(y, 4)))

    def far(p):
        x, y = p[0] - 6.8, p[1] - 5.7
        return x * x + 1.25 * y * y - 0.45 * x * y + 0.12 * x * (y * y - 3 * x) / 3

    points.sort(key=far)
    return points, count


def cell(i, points):
    """The neighbours of site i around its Voronoi cell, in order: half-planes cut a large square."""
    px, py = points[i]
    poly = [(-50.0, -50.0, None), (60.0, -50.0, None), (60.0, 60.0, None), (-50.0, 60.0, None)]  # x, y, edge to the next
    order = sorted(range(len(points)), key=lambda j: (points[j][0] - px) ** 2 + (points[j][1] - py) ** 2)
    for j in order[1:40]:
        qx, qy = points[j]
        side = lambda x, y: (x - (px + qx) / 2) * (qx - px) + (y - (py + qy) / 2) * (qy - py)
        out = []
        for k, (x, y, edge) in enumerate(poly):
            nx, ny, _ = poly[(k + 1) % len(poly)]
            here, there = side(x, y), side(nx, ny)
            if here <= 0:
                out.append((x, y, edge))
            if (here <= 0) != (there <= 0):
                t = here / (here - there)
                # Leaving: the new edge along the cut begins here. Entering: the old edge goes on.
                out.append((x + t * (nx - x), y + t * (ny - y), j if here <= 0 else edge))
        poly = out
    return [edge for _, _, edge in poly]


def corner(a, b, c, points):
    """The centre of the circle through three sites: where their cells meet. The same for every order of the three."""
    (ax, ay), (bx, by), (cx, cy) = (points[i] for i in sorted((a, b, c)))
    d = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
    x = ((ax**2 + ay**2) * (by - cy) + (bx**2 + by**2) * (cy - ay) + (cx**2 + cy**2) * (ay - by)) / d
    y = ((ax**2 + ay**2) * (cx - bx) + (bx**2 + by**2) * (ax - cx) + (cx**2 + cy**2) * (bx - ax)) / d
    return (round(x, 4), round(y, 4))


def bend(a, b, depth):
    """The line from a to b (b left out), bent by its middle; the same points whichever end comes first."""
    if depth == 0:
        return [a]
    first, last = min(a, b), max(a, b)
    dx, dy = last[0] - first[0], last[1] - first[1]
    shift = 0.16 * noise(first, last)
    middle = (round((a[0] + b[0]) / 2 - dy * shift, 4), round((a[1] + b[1]) / 2 + dx * shift, 4))
    return bend(a, middle, depth - 1) + bend(middle, b, depth - 1)


def outline(i, points):
    """The closed line around site i and its neighbours."""
    around = cell(i, points)
    assert None not in around, f"cell {i} is open: surround it with more sites"
    corners = [corner(i, around[k - 1], around[k], points) for k in range(len(around))]
    line = []
    for k, c in enumerate(corners):
        line += bend(c, corners[(k + 1) % len(corners)], 3)
    return line, around


def kreise_of(points, count, neighbours, cities):
    """Grows the Kreise from seats far apart, the smallest first, each over its neighbours only: in one piece."""
    seats = [max((i for i in range(count) if i not in cities), key=lambda i: points[i])]
    while len(seats) < len(KREISE):
        free = [i for i in range(count) if i not in seats and i not in cities]
        seats.append(max(free, key=lambda i: min((points[i][0] - points[s][0]) ** 2 + (points[i][1] - points[s][1]) ** 2 for s in seats)))
    owner = {s: k for k, s in enumerate(seats)}
    while len(owner) < count - len(cities):
        for k in sorted(range(len(KREISE)), key=lambda k: (sum(o == k for o in owner.values()), k)):
            edge = [j for i, o in owner.items() if o == k for j in neighbours[i] if j < count and j not in owner and j not in cities]
            if edge:
                sx, sy = points[seats[k]]
                owner[min(edge, key=lambda j: ((points[j][0] - sx) ** 2 + (points[j][1] - sy) ** 2, j))] = k
                break
    return owner


def land():
    """Every municipality: id, name, AGS, Kreis name, population, outline."""
    points, count = sites(len(CITIES) + 10 * len(KREISE))
    lines, neighbours = {}, {}
    for i in range(count):
        lines[i], neighbours[i] = outline(i, points)
    # The capital in the middle, the harbour town at the northern shore.
    shore = [i for i in range(count) if any(j >= count for j in neighbours[i])]
    cities = [0, max(shore, key=lambda i: points[i][1])]
    owner = kreise_of(points, count, neighbours, cities)
    rng, out = random.Random(SEED + 1), []
    for i, (ags, name, population) in zip(cities, CITIES):
        out.append((slug(name), name, ags, name, population, lines[i]))
    pools = [names.split() for _, _, names in KREISE]
    extra = []
    sizes = [sum(o == k for o in owner.values()) for k in range(len(KREISE))]
    for k, pool in enumerate(pools):
        extra += pool[sizes[k]:]
        del pool[sizes[k]:]
    for k, pool in enumerate(pools):
        while len(pool) < sizes[k]:
            pool.append(extra.pop(0))
    for k, (key, kreis, _) in enumerate(KREISE):
        # The seat is the cell nearest to the Kreis's middle, the others follow from north to south.
        mine = [i for i in owner if owner[i] == k]
        mx, my = (sum(points[i][a] for i in mine) / len(mine) for a in (0, 1))
        seat = min(mine, key=lambda i: (points[i][0] - mx) ** 2 + (points[i][1] - my) ** 2)
        mine.sort(key=lambda i: (i != seat, -points[i][1]))
        for n, (i, name) in enumerate(zip(mine, pools[k], strict=True), 1):
            population = rng.randrange(17_000, 32_000) if n == 1 else rng.randrange(900, 9_800)
            out.append((slug(name), name, f"{key}{n:03}", f"Landkreis {kreis}", population, lines[i]))
    return out


# ---- the files


def table(header, rows):
    """CSV text, comma and LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def geojson(places):
    """RFC 7946: one feature per line; rings counter-clockwise and closed."""
    features = []
    for _, name, ags, kreis, _, line in places:
        ring = [[round(LON + x * UNIT_LON, 5), round(LAT + y * UNIT_LAT, 5)] for x, y in line]
        area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1]))
        ring = (ring if area > 0 else ring[::-1])
        features.append({"type": "Feature", "properties": {"ags": ags, "name": name, "kreis": ags[:5], "kreis_name": kreis},
                         "geometry": {"type": "Polygon", "coordinates": [ring + ring[:1]]}})
    body = ",\n".join(json.dumps(f, ensure_ascii=False, separators=(",", ":")) for f in features)
    return '{"type":"FeatureCollection","name":"Land Auenmark","features":[\n' + body + "\n]}\n"


def files():
    """File name to text."""
    places = land()
    constituents = [(i, ("Stadt " if a.endswith("000") or n > 16_000 else "Gemeinde ") + name, "municipality", a, n)
                    for i, name, a, _, n, _ in places]
    constituents += [(f"landkreis-{slug(kreis)}", f"Landkreis {kreis}", "kreis", f"{key}001",
                      sum(n for _, _, a, _, n, _ in places if a.startswith(key))) for key, kreis, _ in KREISE]
    constituents += OTHERS
    networks = [(c[0], f"10.{n}.0.0/16") for n, c in enumerate(constituents, 1)]
    space = uuid.uuid5(uuid.NAMESPACE_DNS, "auenmark.example")
    sensors = [(uuid.uuid5(space, name), name, home, ";".join(serves), interval) for name, home, serves, interval in SENSORS]
    contacts, rng = [], random.Random(SEED + 2)
    for n, (i, _, kind, _, _) in enumerate(constituents):
        head = {"municipality": "Bürgermeisteramt", "kreis": "Landratsamt"}.get(kind, "Leitung")
        people = zip(rng.sample(FIRST, 2), rng.sample(LAST, 2))
        for k, ((first, last), role, box) in enumerate(zip(people, (head, "IT-Verantwortung"), ("leitung", "it"))):
            contacts.append((i, f"{first} {last}", role, f"{box}@{i}.example", f"+49 30 23125 {2 * n + k:03}"))
    return {
        "constituents.csv": table(("id", "name", "kind", "ags", "population"), constituents),
        "networks.csv": table(("constituent", "cidr"), networks),
        "sensors.csv": table(("id", "name", "constituent", "serves", "interval_s"), sensors),
        "contacts.csv": table(("constituent", "name", "role", "mail", "phone"), contacts),
        "map.geojson": geojson(places),
    }


def main():
    stale = 0
    for name, text in files().items():
        path = HERE / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                print(f"{name} is not what make.py makes; run dashboards/land/make.py and commit the result", file=sys.stderr)
                stale = 1
        else:
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
