# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Tests of packets.py, on hand-made values and on every committed capture.

Run: python3 -m unittest discover -s rules/captures
"""

import glob
import os
import struct
import tempfile
import unittest

import packets

HERE = os.path.dirname(os.path.abspath(__file__))
CAPTURES = sorted(glob.glob(os.path.join(HERE, "..", "sets", "tests", "*", "*.pcap"))) + [os.path.join(HERE, "background.pcap")]


class Checksums(unittest.TestCase):
    """Checksums against values from the standards."""

    def test_rfc1071_example(self):
        # RFC 1071 section 3: the sum of these bytes is ddf2.
        self.assertEqual(packets.ones_sum(bytes.fromhex("0001f203f4f5f6f7")), 0xDDF2)

    def test_known_ipv4_header(self):
        # A header whose checksum b861 is published in many textbooks.
        header = bytes.fromhex("450000730000400040110000c0a80001c0a800c7")
        self.assertEqual(packets.checksum(header), 0xB861)

    def test_udp_never_sends_zero(self):
        # Find a payload whose sum is ffff; the field must then be ffff, not 0 (RFC 768).
        for value in range(0x10000):
            packet = packets.udp(0, "10.0.0.1", 1, "10.0.0.2", 2, struct.pack(">H", value))
            held = packet.frame[40:42]
            self.assertNotEqual(held, b"\0\0")
            if held == b"\xff\xff":
                return
        self.fail("no payload gave the special case")


class Retarget(unittest.TestCase):
    """Address rewriting."""

    def test_both_directions_and_checksums(self):
        session = packets.TcpSession(0, "203.0.113.66", 40000, "10.20.1.10", 80)
        before = session.send("c", b"x" * 31).close()
        after = packets.retarget(before, {"10.20.1.10": "192.168.77.5", "203.0.113.66": "198.51.100.9"})
        pairs = {(packets.dissect(p.frame).source, packets.dissect(p.frame).destination) for p in after}
        ours, theirs = bytes([192, 168, 77, 5]), bytes([198, 51, 100, 9])
        self.assertEqual(pairs, {(ours, theirs), (theirs, ours)})
        self.assertEqual(packets.wrong_checksums(after), [])

    def test_wrong_checksum_stays_wrong(self):
        packet = packets.udp(0, "10.0.0.1", 1, "10.0.0.2", 2, b"abc")
        broken = bytearray(packet.frame)
        broken[-1] ^= 0x55
        after = packets.retarget([packets.Packet(0, broken)], {"10.0.0.1": "10.9.9.9"})
        self.assertEqual(packets.wrong_checksums(after), [(1, "transport checksum")])

    def test_versions_cannot_be_mixed(self):
        with self.assertRaises(ValueError):
            packets.retarget([], {"10.0.0.1": "fd00::1"})

    def test_every_capture_there_and_back(self):
        forth = {"10.20.1.10": "192.168.200.201", "10.20.2.21": "10.255.254.253", "203.0.113.66": "198.51.100.254",
                 "fd42:20:1::10": "fd00:ffff:1::fffe"}
        back = {new: old for old, new in forth.items()}
        for path in CAPTURES:
            with self.subTest(path=os.path.basename(os.path.dirname(path))):
                before = packets.read_pcap(path)
                after = packets.retarget(before, forth)
                self.assertEqual(packets.wrong_checksums(after), [])
                again = packets.retarget(after, back)
                self.assertEqual([p.frame for p in again], [p.frame for p in before])


class Files(unittest.TestCase):
    """Reading and writing."""

    def test_every_cut_of_a_file_is_refused_or_shorter(self):
        made = [packets.udp(1_500_000, "10.0.0.1", 1, "10.0.0.2", 2, b"abc"), packets.udp(2_000_001, "10.0.0.1", 1, "10.0.0.2", 2, b"d")]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.pcap")
            packets.write_pcap(path, made)
            self.assertEqual([(p.time, p.frame) for p in packets.read_pcap(path)], [(p.time, p.frame) for p in made])
            with open(path, "rb") as file:
                whole = file.read()
            boundaries = {24: 0, 24 + 16 + len(made[0].frame): 1}
            for cut in range(len(whole)):
                with open(path, "wb") as file:
                    file.write(whole[:cut])
                if cut in boundaries:
                    self.assertEqual(len(packets.read_pcap(path)), boundaries[cut])
                else:
                    self.assertRaises(ValueError, packets.read_pcap, path)

    def test_dissect_takes_every_cut_of_a_frame(self):
        frames = [packets.udp(0, "10.0.0.1", 1, "10.0.0.2", 2, b"abc").frame, packets.udp(0, "fd00::1", 1, "fd00::2", 2, b"abc").frame]
        for frame in frames:
            for cut in range(len(frame)):
                self.assertIsNone(packets.dissect(frame[:cut]))
            self.assertIsNotNone(packets.dissect(frame))


class Retime(unittest.TestCase):
    """Spreading over time."""

    def test_flows_keep_their_inner_distances(self):
        first = packets.TcpSession(0, "10.0.0.1", 1000, "10.0.0.2", 80).close()
        second = packets.TcpSession(50, "10.0.0.1", 1001, "10.0.0.2", 80).close()
        moved = packets.retime(first + second, 1_000_000_000, 10_000_000)
        self.assertEqual(moved[0].time, 1_000_000_000)
        later = [p.time for p in moved if p.time >= 1_005_000_000]
        self.assertEqual(later, [p.time - 50 + 1_005_000_000 for p in second])


if __name__ == "__main__":
    unittest.main()
