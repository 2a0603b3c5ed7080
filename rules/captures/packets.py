# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Packets and pcap files for the captures of this folder (standard library only).

Purpose: read and write classic pcap files (Ethernet, microseconds), build
packets with correct lengths and checksums, rewrite addresses with checksum
fix-up, and move flows in time.

Never: touch the network. A frame that this module does not understand is
passed through unchanged by the rewriting functions, and counted.

Limits: Ethernet without VLAN, IPv4 without fragments, IPv6 without extension
headers, TCP, UDP, ICMP, ICMPv6. That is all the captures here contain.
"""

import ipaddress
import struct

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


class Packet:
    """One frame and its time in microseconds since the epoch."""

    __slots__ = ("time", "frame")

    def __init__(self, time, frame):
        self.time = time
        self.frame = bytes(frame)


# ---------------------------------------------------------------- pcap files


def read_pcap(path):
    """All packets of a classic pcap file with link type Ethernet."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        raise ValueError(f"{path}: too short for a pcap header")
    magic = data[:4]
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(magic)
    if order is None:
        raise ValueError(f"{path}: not a classic pcap file with microseconds")
    if struct.unpack(order + "I", data[20:24])[0] != 1:
        raise ValueError(f"{path}: link type is not Ethernet")
    packets, at = [], 24
    while at < len(data):
        if at + 16 > len(data):
            raise ValueError(f"{path}: record header cut off at byte {at}")
        sec, usec, caplen, length = struct.unpack(order + "IIII", data[at:at + 16])
        at += 16
        if caplen != length or at + caplen > len(data):
            raise ValueError(f"{path}: packet cut off at byte {at}")
        packets.append(Packet(sec * 1_000_000 + usec, data[at:at + caplen]))
        at += caplen
    return packets


def write_pcap(path, packets):
    """Writes packets in the order given."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for packet in packets:
            size = len(packet.frame)
            file.write(struct.pack("<IIII", packet.time // 1_000_000, packet.time % 1_000_000, size, size))
            file.write(packet.frame)


# ---------------------------------------------------------------- checksums


def ones_sum(data):
    """RFC 1071 one's complement sum, not yet inverted."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    """RFC 1071 checksum."""
    return ones_sum(data) ^ 0xFFFF


def pseudo_header(source, destination, protocol, length):
    """Pseudo header of RFC 793 (IPv4) or RFC 8200 section 8.1 (IPv6)."""
    if len(source) == 4:
        return source + destination + struct.pack(">BBH", 0, protocol, length)
    return source + destination + struct.pack(">I3xB", length, protocol)


CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}


def transport_checksum(source, destination, protocol, segment):
    """The checksum that `segment` (its own checksum field ignored) must carry."""
    at = CHECKSUM_AT[protocol]
    zeroed = segment[:at] + b"\0\0" + segment[at + 2:]
    if protocol == ICMP:
        return checksum(zeroed)
    value = checksum(pseudo_header(source, destination, protocol, len(segment)) + zeroed)
    # RFC 768: a computed zero goes out as all ones, for UDP only.
    return 0xFFFF if protocol == UDP and value == 0 else value


# ---------------------------------------------------------------- dissection


class Parts:
    """Offsets and addresses of an IP packet inside a frame."""

    __slots__ = ("version", "source", "destination", "protocol", "ip_at", "transport_at", "end")

    def segment(self, frame):
        """Transport header and payload, without Ethernet padding."""
        return frame[self.transport_at:self.end]


def dissect(frame):
    """Parts of a frame, or None for anything that is not whole TCP, UDP or ICMP over IP."""
    if len(frame) < 34:
        return None
    kind = struct.unpack(">H", frame[12:14])[0]
    parts = Parts()
    parts.ip_at = 14
    if kind == ETHERTYPE_IPV4:
        header = (frame[14] & 15) * 4
        total, fragment = struct.unpack(">H2xH", frame[16:22])
        if fragment & 0x3FFF:
            return None
        parts.version, parts.protocol = 4, frame[23]
        parts.source, parts.destination = frame[26:30], frame[30:34]
        parts.transport_at, parts.end = 14 + header, 14 + total
    elif kind == ETHERTYPE_IPV6 and len(frame) >= 54:
        parts.version, parts.protocol = 6, frame[20]
        parts.source, parts.destination = frame[22:38], frame[38:54]
        parts.transport_at, parts.end = 54, 54 + struct.unpack(">H", frame[18:20])[0]
    else:
        return None
    minimum = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 4}.get(parts.protocol)
    if minimum is None or parts.end > len(frame) or parts.end - parts.transport_at < minimum:
        return None
    return parts


def flow_key(frame):
    """The same key for both directions of a flow; None where there is no flow."""
    parts = dissect(frame)
    if parts is None:
        return None
    segment = parts.segment(frame)
    if parts.protocol in (TCP, UDP):
        sport, dport = struct.unpack(">HH", segment[:4])
        ends = sorted([(parts.source, sport), (parts.destination, dport)])
        return (parts.protocol, tuple(ends))
    if parts.protocol == ICMP and segment[0] in (0, 8):
        # Each echo exchange stands alone, so that monitoring can be spread over an hour.
        ends = sorted([(parts.source, 0), (parts.destination, 0)])
        return (ICMP, tuple(ends), segment[4:8])
    return (parts.protocol, tuple(sorted([(parts.source, 0), (parts.destination, 0)])))


def wrong_checksums(packets):
    """List of (packet number from 1, what is wrong)."""
    wrong = []
    for number, packet in enumerate(packets, 1):
        parts = dissect(packet.frame)
        if parts is None:
            continue
        if parts.version == 4 and checksum(packet.frame[14:parts.transport_at]) != 0:
            wrong.append((number, "IPv4 header checksum"))
        segment = parts.segment(packet.frame)
        at = CHECKSUM_AT[parts.protocol]
        held = struct.unpack(">H", segment[at:at + 2])[0]
        if parts.protocol == UDP and held == 0 and parts.version == 4:
            continue
        if held != transport_checksum(parts.source, parts.destination, parts.protocol, segment):
            wrong.append((number, "transport checksum"))
    return wrong


# ---------------------------------------------------------------- building


def mac(address):
    """A locally administered MAC address that follows from the IP address."""
    return b"\x02\x4c" + ipaddress.ip_address(address).packed[-4:]


def ip_packet(time, source, destination, protocol, segment, ttl=64, ident=0):
    """An Ethernet frame around a transport segment; fills in every checksum."""
    src, dst = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    at = CHECKSUM_AT[protocol]
    value = transport_checksum(src, dst, protocol, segment)
    segment = segment[:at] + struct.pack(">H", value) + segment[at + 2:]
    if len(src) == 4:
        header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), ident & 0xFFFF, 0x4000, ttl, protocol, 0)
        header += src + dst
        header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
        kind = ETHERTYPE_IPV4
    else:
        header = struct.pack(">IHBB", 6 << 28, len(segment), protocol, ttl) + src + dst
        kind = ETHERTYPE_IPV6
    frame = mac(destination) + mac(source) + struct.pack(">H", kind) + header + segment
    return Packet(time, frame)


def udp(time, source, sport, destination, dport, payload, ttl=64):
    """One UDP datagram."""
    segment = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ip_packet(time, source, destination, UDP, segment, ttl)


def icmp(time, source, destination, kind, code, rest, payload=b"", ttl=64):
    """One ICMP message; `rest` is the second half (4 bytes) of its header."""
    return ip_packet(time, source, destination, ICMP, struct.pack(">BBH", kind, code, 0) + rest + payload, ttl)


def tcp_segment(time, source, sport, destination, dport, seq, ack, flags, payload=b"", options=b"", window=64240, ttl=64):
    """One TCP segment; options must be a multiple of four bytes."""
    offset = (20 + len(options)) // 4
    header = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset << 4, flags, window, 0, 0)
    return ip_packet(time, source, destination, TCP, header + options + payload, ttl)


class TcpSession:
    """A TCP connection: full handshake, data with acknowledgements, orderly close.

    Every `send` is one segment, acknowledged by the other side before the next.
    """

    MSS = 1460

    def __init__(self, start, client, cport, server, sport, gap=2_000):
        self.packets = []
        self.clock, self.gap = start, gap
        self.ends = {"c": (client, cport), "s": (server, sport)}
        # Initial sequence numbers follow from the ports: reproducible files.
        self.seq = {"c": 0x10000000 + cport * 4099, "s": 0x70000000 + cport * 8209}
        mss = struct.pack(">BBH", 2, 4, self.MSS)
        self._emit("c", SYN, options=mss)
        self.seq["c"] += 1
        self._emit("s", SYN | ACK, options=mss)
        self.seq["s"] += 1
        self._emit("c", ACK)

    def _emit(self, side, flags, payload=b"", options=b""):
        other = "s" if side == "c" else "c"
        ack = self.seq[other] if flags & ACK else 0
        self.packets.append(tcp_segment(self.clock, *self.ends[side], *self.ends[other],
                                        self.seq[side], ack, flags, payload, options))
        self.clock += self.gap

    def send(self, side, payload):
        """One segment of payload from 'c' or 's', then the acknowledgement of the other side."""
        if len(payload) > self.MSS:
            raise ValueError("one segment holds at most the MSS; split the payload")
        self._emit(side, PSH | ACK, payload)
        self.seq[side] += len(payload)
        self._emit("s" if side == "c" else "c", ACK)
        return self

    def wait(self, microseconds):
        """Lets time pass."""
        self.clock += microseconds
        return self

    def close(self):
        """Client closes, server closes; returns all packets."""
        self._emit("c", FIN | ACK)
        self.seq["c"] += 1
        self._emit("s", FIN | ACK)
        self.seq["s"] += 1
        self._emit("c", ACK)
        return self.packets


# ---------------------------------------------------------------- rewriting


def retarget(packets, mapping):
    """Replaces addresses (dict of text to text) in the IP headers; checksums are adjusted.

    Checksums are updated incrementally (RFC 1624), so a wrong checksum stays
    wrong and a right one stays right. MAC addresses and payloads stay as they
    are: a protocol that repeats addresses in its payload still shows the old ones.
    """
    table = {ipaddress.ip_address(a).packed: ipaddress.ip_address(b).packed for a, b in mapping.items()}
    for old, new in table.items():
        if len(old) != len(new):
            raise ValueError("an address can only be mapped to one of the same IP version")

    def adjust(held, before, after):
        total = (held ^ 0xFFFF) + (ones_sum(before) ^ 0xFFFF) + ones_sum(after)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return total ^ 0xFFFF

    result = []
    for packet in packets:
        frame = bytearray(packet.frame)
        kind = struct.unpack(">H", frame[12:14])[0] if len(frame) >= 34 else 0
        if kind == ETHERTYPE_IPV4:
            first, second, end = 26, 30, 34
        elif kind == ETHERTYPE_IPV6 and len(frame) >= 54:
            first, second, end = 22, 38, 54
        else:
            result.append(packet)
            continue
        before = bytes(frame[first:end])
        frame[first:second] = table.get(bytes(frame[first:second]), frame[first:second])
        frame[second:end] = table.get(bytes(frame[second:end]), frame[second:end])
        after = bytes(frame[first:end])
        if before != after:
            parts = dissect(packet.frame)
            if kind == ETHERTYPE_IPV4:
                held = struct.unpack(">H", frame[24:26])[0]
                frame[24:26] = struct.pack(">H", adjust(held, before, after))
            if parts is not None and parts.protocol != ICMP:
                at = parts.transport_at + CHECKSUM_AT[parts.protocol]
                held = struct.unpack(">H", frame[at:at + 2])[0]
                if not (parts.protocol == UDP and held == 0):
                    value = adjust(held, before, after)
                    if parts.protocol == UDP and value == 0:
                        value = 0xFFFF
                    frame[at:at + 2] = struct.pack(">H", value)
        result.append(Packet(packet.time, frame))
    return result


def retime(packets, start, span):
    """Spreads the flows of a capture evenly over `span` microseconds from `start`.

    Inside a flow all distances stay; the order in which flows began stays too.
    """
    flows = {}
    for packet in sorted(packets, key=lambda p: p.time):
        flows.setdefault(flow_key(packet.frame), []).append(packet)
    result = []
    for index, members in enumerate(flows.values()):
        shift = start + index * span // len(flows) - members[0].time
        result.extend(Packet(p.time + shift, p.frame) for p in members)
    return sorted(result, key=lambda p: p.time)
