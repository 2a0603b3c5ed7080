// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Community ID version 1 (specification by Corelight): the same text for the same flow in every tool.
//!
//! Must never be made over inner addresses for an event that leaves with pseudonyms: release makes it again.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use crate::key::{icmpv4_counterpart, icmpv6_counterpart};

/// The id of a flow between two ends. `ports` are those of TCP, UDP and SCTP; for ICMP and ICMPv6 they are type and
/// code of a message from `src` to `dst`; for other protocols they are left out of the hash.
pub fn community_id(seed: u16, src: IpAddr, dst: IpAddr, proto: u8, ports: (u16, u16)) -> String {
    let (ports, one_way) = match proto {
        6 | 17 | 132 => (Some(ports), false),
        1 | 58 => {
            let kind = ports.0 as u8; // an ICMP type
            let answer = if proto == 1 { icmpv4_counterpart(kind) } else { icmpv6_counterpart(kind) };
            (Some((ports.0, answer.map_or(ports.1, u16::from))), answer.is_none())
        }
        _ => (None, false),
    };
    let (sport, dport) = ports.unwrap_or_default();
    let in_order = one_way || (src, sport) <= (dst, dport);
    let ((a, ap), (b, bp)) = if in_order { ((src, sport), (dst, dport)) } else { ((dst, dport), (src, sport)) };
    let mut h = Sha1::new();
    h.update(seed.to_be_bytes());
    for ip in [a, b] {
        match ip {
            IpAddr::V4(v4) => h.update(v4.octets()),
            IpAddr::V6(v6) => h.update(v6.octets()),
        }
    }
    h.update([proto, 0]);
    if ports.is_some() {
        h.update(ap.to_be_bytes());
        h.update(bp.to_be_bytes());
    }
    let mut id = String::with_capacity(30);
    id.push_str("1:");
    STANDARD.encode_string(h.finalize(), &mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u16, src: &str, dst: &str, proto: u8, a: u16, b: u16) -> String {
        community_id(seed, src.parse().expect("literal"), dst.parse().expect("literal"), proto, (a, b))
    }

    // The baseline of the specification (github.com/corelight/community-id-spec, folder baseline): source, destination,
    // protocol, ports (for ICMP: type and code), id with seed 0, id with seed 1.
    #[test]
    fn published_vectors() {
        let solicit = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
        let echo = ("3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2");
        let mail = ("2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a");
        for (src, dst, proto, a, b, want, seeded) in [
            (solicit.0, solicit.1, 58, 135, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="),
            (solicit.1, solicit.0, 58, 136, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="),
            (solicit.1, solicit.0, 58, 135, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck=", "1:2hSqmsDZ2kdcY9kbiUzOEBic0iM="),
            (
                "3ffe:501:1800:2345::2",
                echo.0,
                58,
                3,
                0,
                "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=",
                "1:lVEtCZpYu84Xqaa++3lXFyuu2n4=",
            ),
            (
                "3ffe:501:410:0:2c0:dfff:fe47:33e",
                echo.0,
                58,
                1,
                4,
                "1:hLZd0XGWojozrvxqE0dWB1iM6R0=",
                "1:W8MHwXpWzpoSTD+cGcaJr4u0ys8=",
            ),
            (echo.0, echo.1, 58, 128, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=", "1:GfZxjAkDk2MkegpBYHV6tadtFXQ="),
            (echo.1, echo.0, 58, 129, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=", "1:GfZxjAkDk2MkegpBYHV6tadtFXQ="),
            (solicit.0, "ff02::2", 58, 133, 0, "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0=", "1:L7Ka0ZMYu+J3bL4ulW2PrqyXNo8="),
            (solicit.1, "ff02::1", 58, 134, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00=", "1:K/ee5UCqAMAQXDorP5nSa2CGLjc="),
            (
                "192.168.0.89",
                "192.168.0.1",
                1,
                8,
                0,
                "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
                "1:03g6IloqVBdcZlPyX8r0hgoE7kA=",
            ),
            (
                "192.168.0.1",
                "192.168.0.89",
                1,
                0,
                0,
                "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
                "1:03g6IloqVBdcZlPyX8r0hgoE7kA=",
            ),
            ("10.0.0.1", "10.0.0.2", 1, 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=", "1:XjUibYHaafLQ3pxQeiMI8g25q20="),
            (mail.0, mail.1, 6, 63943, 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=", "1:eJYTW6AOzFLlSUoESovMjnu7rMw="),
            (mail.1, mail.0, 6, 25, 63943, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=", "1:eJYTW6AOzFLlSUoESovMjnu7rMw="),
            (
                "192.168.170.8",
                "192.168.170.56",
                132,
                7,
                7,
                "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
                "1:5w3ZRjeKBzqT3zsaEECDGjUbYeg=",
            ),
            (
                "128.232.110.120",
                "66.35.250.204",
                6,
                34855,
                80,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
                "1:3V71V58M3Ksw/yuFALMcW0LAHvc=",
            ),
            (
                "66.35.250.204",
                "128.232.110.120",
                6,
                80,
                34855,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
                "1:3V71V58M3Ksw/yuFALMcW0LAHvc=",
            ),
            (
                "192.168.1.52",
                "8.8.8.8",
                17,
                54585,
                53,
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
                "1:Q9We8WO3piVF8yEQBNJF4uiSVrI=",
            ),
            ("10.1.12.1", "10.1.12.2", 46, 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=", "1:rYir8gphR31noO9iDRQmF/BteEI="),
        ] {
            assert_eq!(id(0, src, dst, proto, a, b), want, "{src} {dst} {proto}");
            assert_eq!(id(1, src, dst, proto, a, b), seeded, "{src} {dst} {proto}, seed 1");
        }
    }
}
