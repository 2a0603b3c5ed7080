// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Part of the table of keys: where packets come from.

use super::{
    Key,
    Kind::{Flag, FlagOrAuto, NumberOrAuto, Text},
    Why::{BuiltDifferently, ListensOnly, OtherCapture},
    off, on,
};

pub(super) static KEYS: &[Key] = &[
    on(
        "af-packet.interface",
        Text,
        "",
        "eth0",
        "Interface that `run` listens on where `-i` names none. One interface in this release.",
    ),
    on(
        "af-packet.bpf-filter",
        Text,
        "",
        "tcp port 80",
        "Filter in the language of tcpdump; what it refuses is not seen at all.",
    ),
    on("af-packet.threads", NumberOrAuto, "auto", "2", "Worker threads, as `lagewarte.workers`."),
    off(
        "af-packet.{cluster-id,cluster-type,defrag,use-mmap,mmap-locked,tpacket-v3,ring-size,block-size,block-timeout,use-emergency-flush,buffer-size,disable-promisc,checksum-checks,copy-mode,copy-iface,rollover}",
        BuiltDifferently,
        "Tuning of the capture ring.",
    ),
    on("pcap.interface", Text, "", "eth1", "As `af-packet.interface`."),
    off(
        "pcap.{buffer-size,bpf-filter,checksum-checks,threads,promisc,snaplen}",
        BuiltDifferently,
        "Tuning of libpcap; use `af-packet`.",
    ),
    on(
        "pcap-file.checksum-checks",
        FlagOrAuto,
        "auto",
        "no",
        "Whether packets of a capture file with wrong checksums are left out; `-k` on the command line is stronger.",
    ),
    on("vlan.use-for-tracking", Flag, "yes", "no", "Whether the VLAN belongs to a flow's identity."),
    off("livedev.use-for-tracking", BuiltDifferently, "One interface, so it makes no difference."),
    off("{pfring,netmap,dpdk,napatech,nflog,af-xdp,capture}.**", OtherCapture, "Other ways of capture."),
    off("{nfq,ipfw,capture}", OtherCapture, "Other ways of capture."),
    off("{nfq,ipfw}.**", ListensOnly, "Inline modes."),
    off(
        "threading.{set-cpu-affinity,detect-thread-ratio,stack-size,autopin}",
        BuiltDifferently,
        "Use `lagewarte.workers`.",
    ),
    off("threading.cpu-affinity.**", BuiltDifferently, "Use `CPUAffinity=` in the service unit."),
];
