// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Fragments with their objects, built by hand after IEEE 1815.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

/// Frames that carry this application fragment, from the master (true) or the outstation.
fn wire(master: bool, fragment: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = fragment.chunks(249).collect();
    let mut out = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == pieces.len());
        let transport = u8::from(last) << 7 | u8::from(first) << 6 | u8::try_from(i % 64).unwrap();
        out.extend(frame(if master { 0xc4 } else { 0x44 }, &[&[transport], *piece].concat()));
    }
    out
}
/// A frame with this control byte and user data.
fn frame(control: u8, user: &[u8]) -> Vec<u8> {
    let mut out = vec![5, 0x64, u8::try_from(user.len() + 5).unwrap(), control, 1, 0, 2, 0];
    let crc = link::crc(&out).to_le_bytes();
    out.extend(crc);
    for block in user.chunks(16) {
        out.extend_from_slice(block);
        out.extend(link::crc(block).to_le_bytes());
    }
    out
}
// Operates relay 1 for 100 ms.
const OPERATE: &[u8] = &[0xc7, 4, 12, 1, 0x28, 1, 0, 1, 0, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0, 0];
// A clock is set.
const WRITE: &[u8] = &[0xc0, 2, 50, 1, 7, 1, 0xc3, 0x8c, 0x1e, 0x5f, 0x34, 0x01];
// Restarted; two inputs on and off, three analog values.
const ANSWER: &[u8] =
    &[0xc0, 129, 0x90, 0, 1, 1, 0, 4, 5, 1, 30, 4, 0, 0, 2, 0xff, 0xff, 2, 0, 3, 0, 40, 3, 7, 1, 1, 0, 0, 0x20, 0x41];
// Asks for classes 1 to 3.
const READ: &[u8] = &[0xc1, 1, 60, 2, 6, 60, 3, 6, 60, 4, 6];
// Opens ./a.
const OPEN: &[u8] = &[
    0xce, 25, 70, 3, 0x5b, 1, 29, 0, 26, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 4, 0,
    b'.', b'/', b'a',
];

fn conversation() -> Talk<Dnp3> {
    let mut t = Talk::new();
    for (master, fragment) in [(true, OPERATE), (true, WRITE), (false, ANSWER), (true, READ), (true, OPEN)] {
        t.say(if master { ToServer } else { ToClient }, &wire(master, fragment), false);
    }
    t
}

#[test]
fn a_confirmation_is_no_transaction_and_an_answer_may_indicate_nothing() {
    let mut t = Talk::<Dnp3>::new();
    t.say(ToServer, &wire(true, &[0xc0, 0]), false);
    assert!(t.json().is_empty());
    t.say(ToClient, &wire(false, &[0xc0, 129, 0, 0]), false);
    assert!(t.json()[0].ends_with(r#""iin":{}}}}"#), "{}", t.json()[0]);
}

#[test]
fn fragments_with_their_points() {
    let t = conversation();
    assert_eq!(t.events(), [""; 0]);
    let json = t.json();
    assert_eq!(
        json[0],
        concat!(
            r#"{"dnp3":{"request":{"type":"request","control":{"dir":true,"pri":true,"fcb":false,"fcv":false,"function_code":4},"#,
            r#""src":2,"dst":1,"application":{"control":{"fir":true,"fin":true,"con":false,"uns":false,"sequence":7},"function_code":4,"#,
            r#""objects":[{"group":12,"variation":1,"qualifier":40,"prefix_code":2,"range_code":8,"start":0,"stop":0,"count":1,"#,
            r#""points":[{"prefix":1,"index":1,"op_type":3,"qu":0,"cr":0,"tcc":0,"count":1,"ontime":100,"offtime":100,"#,
            r#""status_code":0,"reserved":0}]}],"complete":true}}}}"#
        )
    );
    assert!(json[1].contains(r#""points":[{"prefix":0,"index":0,"timestamp":1324445764803}]"#), "{}", json[1]);
    assert!(json[2].contains(concat!(
        r#""points":[{"prefix":0,"index":4,"state":1},{"prefix":0,"index":5,"state":0}]},{"group":30,"variation":4,"#,
        r#""qualifier":0,"prefix_code":0,"range_code":0,"start":0,"stop":2,"count":3,"points":[{"prefix":0,"index":0,"value":-1},"#,
        r#"{"prefix":0,"index":1,"value":2},{"prefix":0,"index":2,"value":3}]},"#
    )), "{}", json[2]);
    assert!(json[2].contains(r#""over_range":0,"reference_err":0,"reserved0":0,"value":10.0}]}],"complete":true}"#));
    assert!(json[2].ends_with(r#""iin":{"indicators":["device_restart","need_time"]}}}}"#), "{}", json[2]);
    assert!(json[3].contains(r#""range_code":6,"start":0,"stop":0,"count":0}"#), "{}", json[3]);
    assert!(json[4].contains(r#""size":29,"filename_offset":26,"filename_size":3,"created":0,"#), "{}", json[4]);
    assert!(json[4].contains(r#""request_id":4,"filename":"./a"}]"#), "{}", json[4]);

    assert_eq!(t.number(0, Field::Dnp3Func, ToServer, 0), Some(4));
    assert_eq!(t.number(2, Field::Dnp3Ind, ToClient, 0), Some(0x9000));
    assert_eq!(t.number(0, Field::Dnp3Ind, ToServer, 0), None);
    let objects = |place, d| (0..).map_while(|i| t.number(place, Field::Dnp3Obj, d, i)).collect::<Vec<_>>();
    assert_eq!(objects(2, ToClient), [0x0101, 0x1e04, 0x2803]);
    assert_eq!(t.buffer(3, Buffer::Dnp3Data, ToServer, 0).map(|b| b.len()), Some(13), "a lossy text of 11 bytes");
}

/// Bytes of a point of each object of fixed size: group, variations, and for each its size (IEEE 1815, annex A).
const SIZES: &[(u8, &[(u8, usize)])] = &[
    (1, &[(1, 1), (2, 1)]),
    (2, &[(1, 1), (2, 7), (3, 3)]),
    (3, &[(1, 1), (2, 1)]),
    (4, &[(1, 1), (2, 7), (3, 3)]),
    (10, &[(1, 1), (2, 1)]),
    (11, &[(1, 1), (2, 7)]),
    (12, &[(1, 11), (2, 11), (3, 1)]),
    (13, &[(1, 1), (2, 7)]),
    (20, &[(1, 5), (2, 3), (3, 5), (4, 3), (5, 4), (6, 2), (7, 4), (8, 2)]),
    (21, &[(1, 5), (2, 3), (3, 5), (4, 3), (5, 11), (6, 9), (7, 11), (8, 9), (9, 4), (10, 2), (11, 4), (12, 2)]),
    (22, &[(1, 5), (2, 3), (3, 5), (4, 3), (5, 11), (6, 9), (7, 11), (8, 9)]),
    (23, &[(1, 5), (2, 3), (3, 5), (4, 3), (5, 11), (6, 9), (7, 11), (8, 9)]),
    (30, &[(1, 5), (2, 3), (3, 4), (4, 2), (5, 5), (6, 9)]),
    (31, &[(1, 5), (2, 3), (3, 11), (4, 9), (5, 4), (6, 2), (7, 5), (8, 9)]),
    (32, &[(1, 5), (2, 3), (3, 11), (4, 9), (5, 5), (6, 9), (7, 11), (8, 15)]),
    (33, &[(1, 5), (2, 3), (3, 11), (4, 9), (5, 5), (6, 9), (7, 11), (8, 15)]),
    (34, &[(1, 2), (2, 4), (3, 4)]),
    (40, &[(1, 5), (2, 3), (3, 5), (4, 9)]),
    (41, &[(1, 5), (2, 3), (3, 5), (4, 9)]),
    (42, &[(1, 5), (2, 3), (3, 11), (4, 9), (5, 5), (6, 9), (7, 11), (8, 15)]),
    (43, &[(1, 5), (2, 3), (3, 11), (4, 9), (5, 5), (6, 9), (7, 11), (8, 15)]),
    (50, &[(1, 6), (2, 10), (3, 6), (4, 11)]),
    (51, &[(1, 6), (2, 6)]),
    (52, &[(1, 2), (2, 2)]),
    (80, &[(1, 1)]),
    (81, &[(1, 3)]),
    (102, &[(1, 1)]),
    (121, &[(1, 7)]),
    (122, &[(1, 7), (2, 13)]),
];

fn walked(body: &[u8]) -> (Result<(), Fault>, Vec<u32>) {
    let mut points = Vec::new();
    let result = parser::walk(129, body, &Choices::default(), &mut |_| {}, &mut |p| points.push(p.index));
    (result, points)
}

#[test]
fn points_are_as_long_as_the_standard_says() {
    for (group, all) in SIZES {
        for (variation, size) in *all {
            // Point 7 alone, its number in one byte.
            let body = [&[*group, *variation, 0, 7, 7][..], &vec![0; *size]].concat();
            assert_eq!(walked(&body), (Ok(()), vec![7]), "group {group} variation {variation}");
            assert_eq!(
                walked(&body[..body.len() - 1]),
                (Err(Fault::Short), vec![]),
                "group {group} variation {variation}"
            );
        }
    }
    for (group, variation) in [(0, 1), (1, 3), (12, 4), (21, 13), (110, 4), (121, 2)] {
        assert_eq!(walked(&[group, variation, 0, 7, 7, 0]), (Err(Fault::Unknown), vec![]), "{group} {variation}");
    }
}

#[test]
fn objects_whose_size_is_told_hold_texts_and_bytes() {
    // A size of two bytes before one point.
    let answer = |group: u8, variation: u8, point: &[u8]| {
        let size = u16::try_from(point.len()).unwrap().to_le_bytes();
        let mut t = Talk::<Dnp3>::new();
        t.say(
            ToClient,
            &wire(false, &[&[0xc0, 129, 0, 0, group, variation, 0x5b, 1][..], &size, point].concat()),
            false,
        );
        t.json().concat()
    };
    for (group, variation, point, want) in [
        // Who may open a file (annex A.27.2): two texts, their places before them.
        (
            70,
            2,
            &[12, 0, 2, 0, 14, 0, 2, 0, 9, 0, 0, 0, b'm', b'e', b'p', b'w'][..],
            r#""username":"me","password":"pw""#,
        ),
        (70, 4, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 4, 0, 5, b'o', b'k'], r#""status_code":5,"optional_text":"ok""#),
        (70, 5, &[1, 0, 0, 0, 2, 0, 0, 0, b'x'], r#""file_handle":1,"block_number":2,"file_data":"x""#),
        (70, 6, &[1, 0, 0, 0, 2, 0, 0, 0, 3, b'x'], r#""block_number":2,"status_code":3,"optional_text":"x""#),
        (70, 8, b"a/b", r#""file_specification":"a/b""#),
        // A challenge and what answers it (annex A.45).
        (120, 1, &[1, 0, 0, 0, 2, 0, 3, 4, 0xca, 0xfe], r#""csq":1,"usr":2,"mal":3,"reason":4,"challenge_data":"#),
        (120, 3, &[1, 0, 0, 0, 2, 0], r#""csq":1,"user_number":2"#),
        (120, 6, &[1, 0, 1, 2, 0, 9], r#""ksq":65537,"usr":2,"wrapped_key_data":"#),
        (120, 12, &[1, 0, 0, 0, 2, 0, 1, 0, 9], r#""user_number":2,"challenge_data_len":1,"challenge_data":"#),
    ] {
        let json = answer(group, variation, point);
        assert!(json.contains(want) && json.contains(r#""complete":true"#), "{json}");
    }
    // Each of them with lengths of zero, and cut.
    for (group, variations) in [(70, 1..=8), (120, 1..=15)] {
        for variation in variations {
            for size in [0, 1, 60] {
                let json = answer(group, variation, &vec![0; size]);
                serde_json::from_str::<serde_json::Value>(&json).unwrap();
                assert!(json.contains(&format!(r#""group":{group},"variation":{variation}"#)), "{json}");
            }
        }
    }
    // Without a size nobody knows where such a point ends.
    assert_eq!(walked(&[70, 8, 0, 7, 7, b'a']), (Err(Fault::Short), vec![]));
}

#[test]
fn points_are_numbered_by_ranges_prefixes_and_sizes_of_any_width() {
    for (header, numbers) in [
        (&[2, 1, 0x17, 2, 5, 0, 9, 0][..], vec![5, 9]), // prefixes of one byte, a count of one
        (&[2, 1, 0x28, 2, 0, 5, 1, 0, 9, 1, 0], vec![0x105, 0x109]), // of two
        (&[2, 1, 0x39, 1, 0, 0, 0, 5, 0, 0, 1, 0], vec![0x0100_0005]), // of four
        (&[2, 1, 0x01, 7, 1, 8, 1, 0, 0], vec![0x107, 0x108]), // a range of two bytes
        (&[2, 1, 0x02, 7, 0, 1, 0, 7, 0, 1, 0, 0], vec![0x1_0007]), // of four
        (&[2, 1, 0x47, 1, 1, 0], vec![0]),              // a size of one byte
        (&[2, 1, 0x69, 1, 0, 0, 0, 1, 0, 0, 0, 0], vec![0]), // of four
        (&[12, 3, 0x17, 1, 4, 1], vec![4]),             // a bit with a prefix has a byte of its own
    ] {
        assert_eq!(walked(header), (Ok(()), numbers), "{header:02x?}");
        for n in 1..header.len() {
            assert_eq!(walked(&header[..n]).0, Err(Fault::Short), "{header:02x?} cut at {n}");
        }
    }
    // Ranges that end before they begin, and widths that there are not.
    for header in [&[2, 1, 0, 8, 7, 0][..], &[2, 1, 0x0c, 1, 1, 0], &[2, 1, 0x77, 1, 1, 0]] {
        assert_eq!(walked(header), (Err(Fault::Short), vec![]), "{header:02x?}");
    }
}

#[test]
fn an_event_has_the_fragment_itself_and_not_its_side() {
    let t = conversation();
    let mut w = JsonWriter::new();
    w.open();
    t.state.log(t.state.txs().at(1).unwrap(), &t.config, &mut w);
    assert!(w.as_str().starts_with(r#"{"tx_id":1,"dnp3":{"type":"request","control""#));
}

#[test]
fn a_fragment_of_many_frames_however_it_comes_and_after_a_gap() {
    // 4000 outputs, eight to a byte.
    let long = [&[0xc0, 129, 0, 0, 10, 1, 1, 0, 0, 0x9f, 0x0f][..], &[0x55; 500]].concat();
    for size in [1, 11, 5000] {
        let mut t = Talk::<Dnp3>::new();
        wire(false, &long).chunks(size).for_each(|p| t.say(ToClient, p, false));
        assert_eq!((t.events().len(), t.state.txs().len()), (0, 1));
        assert!(t.json()[0].contains(r#""count":4000"#) && t.json()[0].contains(r#""complete":true"#));
        assert_eq!(t.state.charged(), 0);
    }
    let mut t = Talk::<Dnp3>::new();
    let frames = wire(false, &long);
    t.say(ToClient, &frames[..292], false);
    let mut cx = Cx::alone(&t.config, &mut t.memory, (50_000, 20_000));
    assert_eq!(t.state.gap(ToClient, 100, &mut cx), Step::Ok(0));
    t.say(ToClient, &frames[392..], false);
    t.say(ToClient, &wire(false, ANSWER), false);
    assert_eq!((t.json().len(), t.events()), (1, vec![]), "what was cut is passed over, and the next one is read");
}

#[test]
fn what_is_damaged_is_an_event() {
    let good = wire(true, OPERATE);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    let events = |bytes: &[u8]| {
        let mut t = Talk::<Dnp3>::new();
        t.say(ToServer, bytes, false);
        t.end();
        t.events()
    };
    assert_eq!(events(&changed(4)), ["bad_link_crc"]);
    assert_eq!(events(&changed(12)), ["bad_transport_crc"]);
    assert_eq!(events(&frame(0xc4, &[0xc0, 0xc0])), ["len_too_small"]);
    assert_eq!(events(&frame(0xc4, &[])), ["len_too_small"]);
    assert_eq!(events(&wire(true, &[0xc0, 2, 77, 77, 7, 1, 1])), ["unknown_object"]);
    assert_eq!(events(&wire(true, &[0xc0, 2, 1, 1, 1, 0, 0, 0xfe, 0xff])), ["too_many_points"]);
    // A link that is tested carries nothing.
    assert_eq!(events(&frame(0xc2, &[])), [""; 0]);
    assert!((0..good.len()).all(|n| {
        let mut t = Talk::<Dnp3>::new();
        t.say(ToServer, &good[..n], false);
        t.json().is_empty() && t.events().is_empty()
    }));
    // An object that ends too early is kept, and not complete.
    let mut t = Talk::<Dnp3>::new();
    t.say(ToServer, &wire(true, &OPERATE[..15]), false);
    assert!(t.json()[0].contains(r#""complete":false"#), "{:?}", t.json());
}

#[test]
fn caps_hold() {
    // Threat: requests without end.
    let mut t = Talk::<Dnp3>::new();
    t.say(ToServer, &wire(true, READ).repeat(100), false);
    assert_eq!((t.json().len(), t.events()), (MAX_UNANSWERED as usize + 1, vec!["flooded"]));
    t.say(ToClient, &wire(false, ANSWER).repeat(100), false);
    t.say(ToServer, &wire(true, READ), false);
    assert_eq!(t.json().len(), MAX_UNANSWERED as usize + 102, "after answers it is heard again");
    // Threat: a fragment that never ends.
    let mut t = Talk::<Dnp3>::new();
    t.say(ToServer, &frame(0xc4, &[&[0x40][..], &[0; 249]].concat()), false);
    t.say(ToServer, &frame(0xc4, &[&[1][..], &[0; 249]].concat()).repeat(400), false);
    assert_eq!((t.events(), t.state.charged()), (vec!["too_long_reassembly"], 0));
    // Threat: nothing but headers of objects.
    let many = [&[0xc0, 1][..], &[60, 2, 6].repeat(3000)].concat();
    let mut t = Talk::<Dnp3>::new();
    t.say(ToServer, &wire(true, &many), false);
    assert_eq!(t.events(), ["too_many_objects"]);
    assert_eq!(t.number(0, Field::Dnp3Obj, ToServer, t.config.dnp3.max_objects), None);
    // Threat: 16,000 points in one event.
    let many = [&[0xc0, 129, 0, 0, 10, 1, 1, 0, 0, 0x7f, 0x3e][..], &[0x55; 2000]].concat();
    let mut t = Talk::<Dnp3>::new();
    t.say(ToClient, &wire(false, &many), false);
    assert_eq!(t.events(), [""; 0]);
    assert_eq!(t.json()[0].matches("\"index\"").count(), log::MAX_POINTS as usize);
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        prop::sample::select(vec![OPERATE, WRITE, ANSWER, READ, OPEN]).prop_map(|f| wire(true, f)),
        (prop::sample::select(vec![1u8, 2, 25, 129]), prop::sample::select(vec![1u8, 2, 12, 20, 30, 43, 70, 120]),
         any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(f, g, v, q, b)| wire(true, &[&[0xc0, f, 0, 0, g, v % 9, q][..], &b].concat())),
        prop::collection::vec(any::<u8>(), 0..60)]), 0..7), cut in 0usize..120) {
        hostile::<Dnp3>(&pieces, cut, false);
    }
}
