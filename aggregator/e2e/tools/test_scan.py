# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""The scanner finds each kind in each form and packing, and nothing where nothing is. Run: python -m unittest discover"""
import base64
import gzip
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest

import lz4.block
import zstandard

HERE = os.path.dirname(os.path.abspath(__file__))
WANTED = {"words": {"word": ["KanarieWort7"]}, "addresses": {"four": ["10.77.133.10"], "six": ["fd77:1::be:ef10"]}}


def block(method, data, size):
    """One of ClickHouse's blocks; the checksum is not looked at."""
    return bytes(16) + struct.pack("<BII", method, 9 + len(data), size) + data


def lz4_block(data):
    return block(0x82, lz4.block.compress(data, store_size=False), len(data))


class Scan(unittest.TestCase):
    def scan(self, **content):
        with tempfile.TemporaryDirectory() as folder:
            wanted = os.path.join(folder, "wanted.json")
            with open(wanted, "w", encoding="utf-8") as file:
                json.dump(WANTED, file)
            data = os.path.join(folder, "data")
            os.mkdir(data)
            for name, raw in content.items():
                with open(os.path.join(data, name), "wb") as file:
                    file.write(raw)
            return json.loads(subprocess.check_output([sys.executable, os.path.join(HERE, "scan.py"), wanted, data]))

    def forms(self, raw):
        return {kind: set().union(*map(set, places.values())) for kind, places in self.scan(f=raw)["hits"].items()}

    def test_nothing_is_found_where_nothing_is(self):
        self.assertEqual(self.forms(b"KanarieWort 10.77.133.1 fd77:1::be:ef1" * 50), {})

    def test_each_form_of_a_word(self):
        word = b"KanarieWort7"
        self.assertEqual(self.forms(b"x" + word.upper() + b"x"), {"word": {"text"}})
        self.assertEqual(self.forms(word.decode().encode("utf-16-le")), {"word": {"utf-16"}})
        self.assertEqual(self.forms(word.hex().encode()), {"word": {"hex"}})
        for before in range(3):
            for behind in range(3):
                with self.subTest(before=before, behind=behind):
                    self.assertEqual(self.forms(base64.b64encode(b"ab"[:before] + word + b"yz"[:behind])), {"word": {"base64"}})

    def test_each_form_of_an_address(self):
        four, six = bytes([10, 77, 133, 10]), bytes.fromhex("fd770001000000000000000000beef10")
        self.assertEqual(self.forms(b" 10.77.133.10 "), {"four": {"text"}})
        self.assertEqual(self.forms(four), {"four": {"u32 big-endian"}})
        self.assertEqual(self.forms(four[::-1]), {"four": {"u32 little-endian"}})
        self.assertEqual(self.forms(bytes(10) + b"\xff\xff" + four), {"four": {"u32 big-endian", "16 bytes"}})
        self.assertEqual(self.forms(b"fd77:1::BE:EF10"), {"six": {"text"}})
        self.assertEqual(self.forms(b"fd77:0001:0000:0000:0000:0000:00be:ef10"), {"six": {"text"}})
        self.assertEqual(self.forms(six), {"six": {"16 bytes"}})
        self.assertEqual(self.forms(six[::-1]), {"six": {"16 bytes reversed"}})

    def test_inside_each_packing(self):
        # The filling makes the compressor split and refer back, so that the word is not in the raw bytes by luck.
        data = b"Kanarie Wort 7 " * 9 + b"KanarieWort7 " + bytes([10, 77, 133, 10])
        deltas = struct.pack("<II", 0x0A854D0A - 5, 5)
        for name, raw in {
            "lz4": lz4_block(data),
            "two blocks": lz4_block(b"nothing") + lz4_block(data),
            "zstd block": block(0x90, zstandard.compress(data), len(data)),
            "none": block(0x02, data, len(data)),
            "chain": block(0x91, bytes([2, 0x92, 0x82]) + lz4_block(block(0x92, bytes([4, 0]) + deltas, 8)[16:])[16:], 8),
            "gzip": b"before" + gzip.compress(data) + b"behind",
            "zstd": b"before" + zstandard.compress(data) + b"behind",
        }.items():
            with self.subTest(name):
                self.assertIn("four", self.forms(raw))
                if name != "chain":
                    self.assertIn("word", self.forms(raw))

    def test_rows_of_a_database_that_stand_in_the_wal_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a")
            database = sqlite3.connect(path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE t (x TEXT)")
            database.execute("INSERT INTO t VALUES (?)", ("y" * 9000 + "KanarieWort7",))
            database.commit()
            with open(path, "rb") as main, open(path + "-wal", "rb") as wal:
                content = {"a": main.read(), "a-wal": wal.read()}
            database.close()
        found = self.scan(**content)
        self.assertEqual(found["databases"], 1)
        self.assertTrue(any(place.endswith("(rows)") for place in found["hits"]["word"]))

    def test_a_codec_that_is_not_undone_is_named(self):
        self.assertEqual(self.scan(f=block(0x93, b"12345678", 8))["packed"], {"0x93": 1})


if __name__ == "__main__":
    unittest.main()
