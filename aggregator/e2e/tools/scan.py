# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Looks for canaries in every byte below some files and folders, also inside what is compressed.

    scan.py WANTED.json PATH...     WANTED as `canaries.py list` prints it; prints one JSON object

Purpose: files as they are; ClickHouse's compressed blocks (LZ4, ZSTD, none, Delta, chains of them; what another codec packed is
searched as it is, and the codec counted); gzip and zstd members anywhere in a file; each row of each SQLite database, beside its raw pages and WAL.
Words are looked for as text in any case, UTF-16, hexadecimal, and base64 at all three alignments; addresses as text (IPv6
also written out), IPv4 as u32 in both byte orders, both as the 16 bytes of IPv6, reversed too.

Answer: {"files", "bytes", "blocks", "packed": codecs that were not undone, "hits": {kind: {place: [forms]}}}. A file that
cannot be read is an error, never passed over.

Limits: four-byte forms are looked for in unpacked bytes only; in compressed ones they would be found by chance. What is
encrypted or kept in a codec named under "packed" is not seen: the caller decides whether that is acceptable.
"""
import base64
import collections
import ipaddress
import json
import os
import re
import shutil
import sqlite3
import struct
import sys
import tempfile
import zlib

import lz4.block
import zstandard

GZIP, ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
LARGEST_UNPACKED = 1 << 30
# ClickHouse's codec numbers: none, LZ4, and ZSTD to the last of the packing ones.
CODECS = {0x02, 0x82, *range(0x90, 0xa0)}


def base64_forms(raw):
    """The parts of base64 text that are the same whatever stands before and behind."""
    forms = []
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        first = -(-shift * 8 // 6)
        last = (shift + len(raw)) * 8 // 6
        forms.append(text[first:last])
    return forms


def needles(wanted):
    """List of (kind, form, bytes, any case, unpacked bytes only)."""
    found = []

    def add(kind, form, raw, any_case=False, plain_only=False):
        if len(raw) < 4:
            raise ValueError(f"{kind}/{form}: too short to look for")
        found.append((kind, form, raw.lower() if any_case else raw, any_case, plain_only))

    def text(kind, word):
        raw = word.encode()
        add(kind, "text", raw, any_case=True)
        add(kind, "utf-16", word.encode("utf-16-le"))
        add(kind, "hex", raw.hex().encode(), any_case=True)
        for form in base64_forms(raw):
            add(kind, "base64", form)

    for kind, words in wanted["words"].items():
        for word in words:
            text(kind, word)
    for kind, addresses in wanted["addresses"].items():
        for written in addresses:
            address = ipaddress.ip_address(written)
            text(kind, str(address))
            if address.version == 4:
                add(kind, "u32 big-endian", address.packed, plain_only=True)
                add(kind, "u32 little-endian", address.packed[::-1], plain_only=True)
                mapped = b"\0" * 10 + b"\xff\xff" + address.packed
            else:
                text(kind, address.exploded)
                mapped = address.packed
            add(kind, "16 bytes", mapped)
            add(kind, "16 bytes reversed", mapped[::-1])
    return found


class Blocks(Exception):
    """Not ClickHouse's form of compression."""


def undo(method, data, size, packed):
    """One codec's output, or the data as they are where the codec only packs numbers."""
    if method == 0x82:
        return lz4.block.decompress(data, uncompressed_size=size)
    if method == 0x90:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if method == 0x02:
        return data
    if method == 0x91:  # a chain: how many, their codes, then the nested block of the last one
        count = data[0]
        inner = data[1 + count:]
        for _ in range(count):
            code, whole, length = struct.unpack("<BII", inner[:9])
            inner = undo(code, inner[9:whole], length, packed)
        return inner
    if method == 0x92:  # Delta: width, first bytes left over, differences
        width, over = data[0], data[1]
        rest, values, sum_ = data[2 + over:], [], 0
        for at in range(0, len(rest) - width + 1, width):
            sum_ = (sum_ + int.from_bytes(rest[at:at + width], "little")) & ((1 << 8 * width) - 1)
            values.append(sum_.to_bytes(width, "little"))
        return data[2:2 + over] + b"".join(values)
    packed[f"0x{method:02x}"] += 1
    return data


def clickhouse(data, packed):
    """All blocks of a file in ClickHouse's compressed form; Blocks where it is none."""
    at, unpacked, count = 0, [], 0
    while at < len(data):
        if at + 25 > len(data):
            raise Blocks
        method, whole, size = struct.unpack("<BII", data[at + 16:at + 25])
        if method not in CODECS or whole < 9 or size > LARGEST_UNPACKED or at + 16 + whole > len(data):
            raise Blocks
        try:
            unpacked.append(undo(method, data[at + 25:at + 16 + whole], size, packed))
        except (lz4.block.LZ4BlockError, zstandard.ZstdError, struct.error, IndexError) as fault:
            raise Blocks from fault
        at, count = at + 16 + whole, count + 1
    return b"".join(unpacked), count


def members(data):
    """What gzip and zstd members anywhere in `data` hold."""
    for match in re.finditer(re.escape(GZIP) + b"|" + re.escape(ZSTD), data):
        try:
            if match[0] == GZIP:
                yield zlib.decompressobj(31).decompress(data[match.start():], LARGEST_UNPACKED)
            else:
                yield zstandard.ZstdDecompressor().decompressobj().decompress(data[match.start():])
        except (zlib.error, zstandard.ZstdError):
            continue  # bytes that only look like a beginning


def rows(path):
    """All rows of a SQLite database as text; a copy is opened, so that nothing is changed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        for end in ("", "-wal"):
            if os.path.exists(path + end):
                shutil.copy(path + end, copy + end)
        database = sqlite3.connect(copy)
        try:
            return "\n".join(database.iterdump()).encode()
        finally:
            database.close()


def files(paths):
    """Every regular file at or below the paths."""
    for path in paths:
        if os.path.isfile(path):
            yield path
        elif not os.path.isdir(path):
            raise FileNotFoundError(path)
        for folder, _, names in os.walk(path):
            for name in names:
                whole = os.path.join(folder, name)
                if os.path.isfile(whole) and not os.path.islink(whole):
                    yield whole


def main():
    """Command line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        sought = needles(json.load(file))
    hits = collections.defaultdict(lambda: collections.defaultdict(set))
    packed, count = collections.Counter(), collections.Counter()

    def look(place, data, plain):
        lower = data.lower()
        for kind, form, raw, any_case, plain_only in sought:
            if (plain or not plain_only) and raw in (lower if any_case else data):
                hits[kind][place].add(form)

    for path in files(sys.argv[2:]):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue  # merged away by the running engine; its successor is in the list, and the scan is repeated after the stop
        count["files"] += 1
        count["bytes"] += len(data)
        unpacked = None
        if data:
            try:
                unpacked, blocks = clickhouse(data, packed)
                count["blocks"] += blocks
            except Blocks:
                pass
        look(path, data, unpacked is None)
        if unpacked is not None:
            look(path + " (unpacked)", unpacked, True)
        for inner in members(data):
            look(path + " (member)", inner, True)
        if data.startswith(b"SQLite format 3\0"):
            count["databases"] += 1
            look(path + " (rows)", rows(path), True)
    print(json.dumps({**count, "packed": packed, "hits": {k: {p: sorted(f) for p, f in v.items()} for k, v in hits.items()}}))


if __name__ == "__main__":
    main()
