// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames: ranges of a flow's bytes that its parser names, so that rules can look into just those (Suricata developer
//! guide, "Application Layer Frame Support").
//!
//! A parser says where a frame begins ([`Cx::frame`]) in the call in which it consumes its first byte; the bytes are kept
//! here as they come, until detection has looked at them in the context of a packet that goes their way. Nothing is said
//! or kept of a [`Kind`] that no rule asks for. Must never go on with a frame behind a gap. Limits: [`MAX_FRAMES`],
//! [`MAX_BYTES`], and the memory cap of the frame's protocol.

use lagewarte_flow::{AppProto, Direction};

use crate::protocol::{Cx, Memory};

/// Most frames of one direction of a flow that wait for detection; further ones are not kept, and counted. Threat: a
/// segment of the smallest messages, and no packet that goes their way for them to be looked at.
pub const MAX_FRAMES: usize = 1_024;
/// Most bytes of a frame that are kept; of a longer one rules see so many, and it is counted. Threat: a message of 16 MiB
/// that comes in small pieces, in thousands of flows.
pub const MAX_BYTES: usize = 256 << 10;

macro_rules! kinds {
    ($($proto:ident { $($variant:ident = $name:literal,)* })*) => {
        /// Which frame of which protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is the frame of its name in Suricata")]
        pub enum Kind { $($($variant,)*)* }
        impl Kind {
            /// Every one.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];
            /// Whose it is.
            pub const fn proto(self) -> AppProto {
                match self { $($(Self::$variant)|* => AppProto::$proto,)* }
            }
            /// What rules call it, without its protocol: EVE `frame.type`.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }
        }
    };
}

kinds! {
    Dns { DnsPdu = "pdu", }
    Http { HttpRequest = "request", HttpResponse = "response", }
    Mqtt { MqttPdu = "pdu", MqttHeader = "header", MqttData = "data", }
    Sip {
        SipPdu = "pdu",
        SipRequestLine = "request.line",
        SipRequestHeaders = "request.headers",
        SipRequestBody = "request.body",
        SipResponseLine = "response.line",
        SipResponseHeaders = "response.headers",
        SipResponseBody = "response.body",
    }
    Smb {
        NbssPdu = "nbss.pdu",
        NbssHdr = "nbss.hdr",
        NbssData = "nbss.data",
        Smb1Pdu = "smb1.pdu",
        Smb1Hdr = "smb1.hdr",
        Smb1Data = "smb1.data",
        Smb2Pdu = "smb2.pdu",
        Smb2Hdr = "smb2.hdr",
        Smb2Data = "smb2.data",
        Smb3Pdu = "smb3.pdu",
        Smb3Hdr = "smb3.hdr",
        Smb3Data = "smb3.data",
    }
    Smtp { SmtpCommandLine = "command_line", SmtpData = "data", SmtpResponseLine = "response_line", }
    Ssh { SshRecordHdr = "record_hdr", SshRecordData = "record_data", SshRecordPdu = "record_pdu", }
    Tls { TlsPdu = "pdu", TlsHdr = "hdr", TlsData = "data", }
    Websocket { WebsocketPdu = "pdu", WebsocketHeader = "header", WebsocketData = "data", }
}

impl Kind {
    /// The one of that name.
    pub fn by_name(proto: AppProto, name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.proto() == proto && k.name() == name)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

const _: () = assert!(Kind::ALL.len() <= 64, "Kinds holds 64 bits");

impl Kinds {
    /// Every one.
    pub(crate) fn all() -> Self {
        let mut all = Self::default();
        Kind::ALL.iter().for_each(|k| all.set(*k));
        all
    }
    /// Adds one.
    pub const fn set(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }
    /// Whether it is there.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a parser says while it reads one piece.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    asked: Kinds,
    said: Vec<Said>,
    /// Begun beyond [`MAX_FRAMES`].
    dropped: u64,
}

/// `left` bytes of the input are left where it happens.
#[derive(Clone, Copy, Debug)]
enum Said {
    Begins { kind: Kind, left: usize, len: Option<u64> },
    Ends { kind: Kind, left: usize },
    Of(u64),
}

impl Sink {
    pub(crate) const fn new(asked: Kinds) -> Self {
        Self { asked, said: Vec::new(), dropped: 0 }
    }
    pub(crate) const fn is_empty(&self) -> bool {
        self.said.is_empty()
    }
}

impl Cx<'_> {
    /// Whether any rule asks for a kind of frame.
    pub const fn asks_frame(&self, kind: Kind) -> bool {
        self.frames.asked.has(kind)
    }
    /// Whether any rule asks for a frame of a protocol.
    pub fn asks_frames(&self, proto: AppProto) -> bool {
        !self.frames.asked.is_empty() && Kind::ALL.iter().any(|k| k.proto() == proto && self.asks_frame(*k))
    }
    /// A frame of `len` bytes begins where `left` bytes of what the parser was given are left; it may be longer than that.
    /// To be said in the call in which its first byte is consumed, or the parser gives up.
    pub fn frame(&mut self, kind: Kind, left: usize, len: u64) {
        self.begin_frame(kind, left, Some(len));
    }
    /// A frame begins whose end is not known yet.
    pub fn frame_begins(&mut self, kind: Kind, left: usize) {
        self.begin_frame(kind, left, None);
    }
    /// A frame ends that was begun without an end.
    pub fn frame_ends(&mut self, kind: Kind, left: usize) {
        if self.asks_frame(kind) {
            self.frames.said.push(Said::Ends { kind, left });
        }
    }
    /// The frames that were begun this way, and of which it is not said yet, are of the transaction of that number, if there
    /// is one.
    pub fn frames_of(&mut self, tx: impl Into<Option<u64>>) {
        if let Some(tx) = tx.into().filter(|_| !self.frames.asked.is_empty()) {
            self.frames.said.push(Said::Of(tx));
        }
    }
    fn begin_frame(&mut self, kind: Kind, left: usize, len: Option<u64>) {
        if !self.asks_frame(kind) || len == Some(0) {
            return;
        }
        if self.frames.said.len() < 4 * MAX_FRAMES {
            self.frames.said.push(Said::Begins { kind, left, len });
        } else {
            self.frames.dropped += 1;
        }
    }
}

/// A frame, as far as it has come.
#[derive(Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its number in its direction, from 1: EVE `frame.id`.
    pub id: u64,
    /// Offset of its first byte in its direction of the stream; None in a datagram.
    pub offset: Option<u64>,
    /// Its length, where that is known.
    pub len: Option<u64>,
    /// The number of its transaction, where it has one.
    pub tx: Option<u64>,
    /// What detection has done with it.
    pub marks: Marks,
    bytes: Vec<u8>,
    ended: bool,
    charged: u64,
}

/// What detection remembers of a frame.
#[derive(Debug, Default)]
pub struct Marks {
    /// Which engine the numbers below belong to.
    pub engine: u64,
    /// How many of its bytes were looked at.
    pub seen: usize,
    /// Rules that have alerted, by the engine's numbers.
    pub fired: Vec<u32>,
    /// Nothing more is to be looked at.
    pub done: bool,
}

impl Frame {
    /// Its bytes, as far as they have come.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Whether no more of its bytes will come.
    pub const fn ended(&self) -> bool {
        self.ended
    }
    /// Whether all of its bytes are there.
    pub fn complete(&self) -> bool {
        self.len == Some(self.bytes.len() as u64)
    }
}

/// A piece of a direction that a parser has read, and what it said of it.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) direction: Direction,
    /// Offset of its first byte; of a datagram 0.
    pub(crate) at: u64,
    pub(crate) data: &'a [u8],
    /// How many of its bytes the parser is done with: the others come again.
    pub(crate) consumed: usize,
    pub(crate) datagram: bool,
}

/// The frames of a flow, by direction.
#[derive(Debug, Default)]
pub struct Frames {
    sides: [Vec<Frame>; 2],
    begun: [u64; 2],
}

impl Frames {
    /// Those that go one way, in their order, to be looked at.
    pub fn towards(&mut self, d: Direction) -> &mut [Frame] {
        &mut self.sides[d.index()] // an index of two
    }
    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.sides.iter().all(Vec::is_empty)
    }

    /// Takes what a parser said of a piece, and the piece's bytes. `memory`: by protocol. How many frames were not kept, or
    /// not whole.
    pub(crate) fn take(&mut self, sink: Sink, piece: &Piece<'_>, memory: &mut [Memory]) -> u64 {
        let mut lost = sink.dropped;
        let i = piece.direction.index();
        let (side, begun) = (&mut self.sides[i], &mut self.begun[i]); // an index of two
        let place = |left: usize| piece.at + piece.data.len().saturating_sub(left) as u64;
        for said in sink.said {
            match said {
                Said::Begins { .. } if side.len() >= MAX_FRAMES => lost += 1,
                Said::Begins { kind, left, len } => {
                    *begun += 1;
                    side.push(Frame {
                        kind,
                        id: *begun,
                        offset: Some(place(left)),
                        len,
                        tx: None,
                        marks: Marks::default(),
                        bytes: Vec::new(),
                        ended: false,
                        charged: 0,
                    });
                }
                Said::Ends { kind, left } => {
                    if let Some(f) = side.iter_mut().rfind(|f| f.kind == kind && f.len.is_none() && !f.ended) {
                        f.len = f.offset.map(|from| place(left).saturating_sub(from));
                    }
                }
                Said::Of(tx) => side.iter_mut().filter(|f| f.tx.is_none()).for_each(|f| f.tx = Some(tx)),
            }
        }
        for f in side.iter_mut().filter(|f| !f.ended) {
            lost += u64::from(!f.extend(piece, &mut memory[f.kind.proto() as usize])); // a place for each variant
        }
        if piece.datagram {
            for f in side.iter_mut() {
                (f.offset, f.ended) = (None, true);
            }
        }
        lost
    }

    /// Nothing follows in a direction. `whole`: the stream has ended there, and with it what had no other end.
    pub(crate) fn end(&mut self, d: Direction, whole: bool) {
        for f in self.sides[d.index()].iter_mut().filter(|f| !f.ended) {
            if whole && f.len.is_none() {
                f.len = Some(f.bytes.len() as u64);
            }
            f.ended = true;
        }
    }

    /// Drops those that nothing waits for; with `all` every one.
    pub(crate) fn clean(&mut self, all: bool, memory: &mut [Memory]) {
        for side in &mut self.sides {
            side.retain(|f| {
                let keep = !(all || f.marks.done);
                if !keep {
                    let m = &mut memory[f.kind.proto() as usize]; // a place for each variant
                    m.used = m.used.saturating_sub(f.charged);
                }
                keep
            });
        }
    }
}

impl Frame {
    // Takes what the piece has of it. False where it ends here without being whole.
    fn extend(&mut self, piece: &Piece<'_>, memory: &mut Memory) -> bool {
        let from = self.offset.unwrap_or(0);
        let have = from + self.bytes.len() as u64;
        let room = self.len.unwrap_or(u64::MAX).min(MAX_BYTES as u64);
        let to = (piece.at + piece.consumed as u64).min(from.saturating_add(room));
        let within = |at: u64| usize::try_from(at.checked_sub(piece.at)?).ok();
        let new = within(have).zip(within(to)).and_then(|(a, b)| piece.data.get(a..b)).unwrap_or_default();
        let granted = new.is_empty() || {
            let mine = if self.charged == 0 { size_of::<Self>() } else { 0 };
            memory.charge(&mut self.charged, mine + new.len())
        };
        if granted {
            self.bytes.extend_from_slice(new);
        }
        self.ended = !granted || self.complete() || self.bytes.len() >= MAX_BYTES;
        !self.ended || self.complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    use Direction::{ToClient, ToServer};

    fn caps(cap: u64) -> Vec<Memory> {
        vec![Memory { cap, ..Memory::default() }; AppProto::ALL.len() + 1]
    }

    /// A piece in which frames begin: where, and how long they are.
    fn piece(frames: &mut Frames, memory: &mut [Memory], at: u64, data: &[u8], said: &[(usize, Option<u64>)]) -> u64 {
        let (config, mut own) = (Config::default(), Memory::default());
        let mut cx = Cx::marking(&config, &mut own, (1, 2));
        for (begins, len) in said {
            match len {
                Some(len) => cx.frame(Kind::SipPdu, data.len() - begins, *len),
                None => cx.frame_begins(Kind::SipPdu, data.len() - begins),
            }
        }
        let sink = cx.frames;
        let piece = Piece { direction: ToServer, at, data, consumed: data.len(), datagram: false };
        frames.take(sink, &piece, memory)
    }

    #[test]
    fn bytes_are_put_together_and_given_back() {
        let (mut frames, mut memory) = (Frames::default(), caps(1 << 20));
        assert_eq!(piece(&mut frames, &mut memory, 100, b"..abc", &[(2, Some(5)), (4, None)]), 0);
        assert_eq!(piece(&mut frames, &mut memory, 105, b"de..", &[]), 0);
        frames.end(ToServer, true);
        let all: Vec<_> = frames.towards(ToServer).iter().map(|f| (f.offset, f.bytes(), f.complete())).collect();
        assert_eq!(all, [(Some(102), &b"abcde"[..], true), (Some(104), b"cde..", true)]);
        assert!(frames.towards(ToClient).is_empty() && memory[AppProto::Sip as usize].used > 10);
        frames.clean(false, &mut memory);
        assert!(!frames.is_empty(), "nobody has looked");
        frames.towards(ToServer).iter_mut().for_each(|f| f.marks.done = true);
        frames.clean(false, &mut memory);
        assert!(frames.is_empty() && memory[AppProto::Sip as usize].used == 0);
    }

    #[test]
    fn what_ends_early_is_not_complete() {
        let (mut frames, mut memory) = (Frames::default(), caps(1 << 20));
        piece(&mut frames, &mut memory, 0, b"abc", &[(0, Some(5)), (0, None), (0, Some(0))]);
        frames.end(ToServer, false);
        let all: Vec<_> = frames.towards(ToServer).iter().map(|f| (f.len, f.ended(), f.complete())).collect();
        assert_eq!(all, [(Some(5), true, false), (None, true, false)], "one without bytes is none");
        piece(&mut frames, &mut memory, 3, b"de", &[]);
        assert!(frames.towards(ToServer).iter().all(|f| f.bytes() == b"abc"), "it does not go on");
    }

    /// Threat: long messages in thousands of flows. What memory is not granted for is not kept, and counted.
    #[test]
    fn frames_stay_within_their_protocols_memory() {
        let cap = size_of::<Frame>() as u64 + 10;
        let (mut frames, mut memory) = (Frames::default(), caps(cap));
        assert_eq!(piece(&mut frames, &mut memory, 0, b"abc", &[(0, Some(50))]), 0);
        assert_eq!(piece(&mut frames, &mut memory, 3, &[b'x'; 40], &[]), 1);
        let f = &frames.towards(ToServer)[0];
        assert!(f.ended() && !f.complete() && f.bytes() == b"abc");
        assert!(memory[AppProto::Sip as usize].used <= cap);
        frames.clean(true, &mut memory);
        assert_eq!(memory[AppProto::Sip as usize].used, 0);
    }

    #[test]
    fn a_frame_has_a_name_of_its_own_within_its_protocol() {
        for kind in Kind::ALL {
            assert_eq!(Kind::by_name(kind.proto(), kind.name()), Some(*kind));
        }
        // Names of Suricata's `frame` keyword.
        for (proto, name, want) in [
            (AppProto::Smb, "smb2.hdr", Some(Kind::Smb2Hdr)),
            (AppProto::Tls, "pdu", Some(Kind::TlsPdu)),
            (AppProto::Mqtt, "pdu", Some(Kind::MqttPdu)),
            (AppProto::Tls, "smb2.hdr", None),
            (AppProto::Ntp, "pdu", None),
        ] {
            assert_eq!(Kind::by_name(proto, name), want, "{proto:?} {name}");
        }
        let mut kinds = Kinds::default();
        assert!(kinds.is_empty() && !kinds.has(Kind::DnsPdu));
        kinds.set(Kind::WebsocketData);
        assert!(!kinds.is_empty() && kinds.has(Kind::WebsocketData) && !kinds.has(Kind::DnsPdu));
    }

    /// What a parser says of a piece of which it has read `consumed` bytes.
    fn said(frames: &mut Frames, memory: &mut [Memory], piece: &Piece<'_>, say: impl FnOnce(&mut Cx<'_>)) -> u64 {
        let (config, mut own) = (Config::default(), Memory::default());
        let mut cx = Cx::marking(&config, &mut own, (1, 2));
        say(&mut cx);
        let sink = cx.frames;
        frames.take(sink, piece, memory)
    }

    #[test]
    fn a_frame_without_an_end_ends_where_that_is_said_and_has_its_transaction() {
        let (mut frames, mut memory) = (Frames::default(), caps(1 << 20));
        let mut piece = Piece { direction: ToClient, at: 10, data: b"ab cd|", consumed: 6, datagram: false };
        said(&mut frames, &mut memory, &piece, |cx| {
            cx.frame(Kind::SmtpCommandLine, 6, 2);
            cx.frames_of(3);
            cx.frame_begins(Kind::SmtpData, 3);
            cx.frames_of(None); // it has none yet
        });
        (piece.at, piece.data) = (16, b"ef|gh|");
        said(&mut frames, &mut memory, &piece, |cx| {
            cx.frame_ends(Kind::SmtpData, 3);
            cx.frame_ends(Kind::SmtpResponseLine, 3); // none was begun
            cx.frames_of(4);
        });
        let all: Vec<_> =
            frames.towards(ToClient).iter().map(|f| (f.id, f.kind, f.offset, f.len, f.tx, f.bytes())).collect();
        assert_eq!(
            all,
            [
                (1, Kind::SmtpCommandLine, Some(10), Some(2), Some(3), &b"ab"[..]),
                (2, Kind::SmtpData, Some(13), Some(6), Some(4), b"cd|ef|"),
            ]
        );
        assert!(frames.towards(ToClient).iter().all(|f| f.ended() && f.complete()));
    }

    #[test]
    fn a_frame_of_a_datagram_has_no_place_in_a_stream_and_does_not_go_on() {
        let (mut frames, mut memory) = (Frames::default(), caps(1 << 20));
        let piece = Piece { direction: ToServer, at: 0, data: b"question", consumed: 8, datagram: true };
        said(&mut frames, &mut memory, &piece, |cx| {
            assert!(cx.asks_frames(AppProto::Dns) && cx.asks_frame(Kind::DnsPdu));
            cx.frame(Kind::DnsPdu, 8, 12); // longer than what came
        });
        let f = &frames.towards(ToServer)[0];
        assert_eq!((f.offset, f.ended(), f.complete(), f.bytes()), (None, true, false, &b"question"[..]));
    }

    /// Threat: a segment of the smallest messages; a message of 16 MiB. Neither is kept beyond its cap, and that is counted.
    #[test]
    fn no_more_frames_and_bytes_are_kept_than_the_caps_say() {
        let (mut frames, mut memory) = (Frames::default(), caps(64 << 20));
        let data = vec![b'x'; 5 * MAX_FRAMES];
        let many = Piece { direction: ToServer, at: 0, data: &data, consumed: data.len(), datagram: false };
        let lost = said(&mut frames, &mut memory, &many, |cx| {
            (0..data.len()).for_each(|n| cx.frame(Kind::MqttPdu, data.len() - n, 1));
        });
        assert_eq!((frames.towards(ToServer).len(), lost), (MAX_FRAMES, 4 * MAX_FRAMES as u64));
        let mut frames = Frames::default();
        let data = vec![b'x'; MAX_BYTES - 1];
        let mut long = Piece { direction: ToServer, at: 0, data: &data, consumed: data.len(), datagram: false };
        let lost = said(&mut frames, &mut memory, &long, |cx| cx.frame(Kind::MqttPdu, data.len(), 16 << 20));
        assert_eq!((lost, frames.towards(ToServer)[0].ended()), (0, false));
        long.at = data.len() as u64;
        assert_eq!(said(&mut frames, &mut memory, &long, |_| ()), 1);
        let f = &frames.towards(ToServer)[0];
        assert_eq!((f.bytes().len(), f.ended(), f.complete()), (MAX_BYTES, true, false));
    }

    #[test]
    fn nobody_asks_and_nothing_is_said() {
        let (config, mut memory) = (Config::default(), Memory::default());
        let mut cx = Cx::alone(&config, &mut memory, (1, 2));
        cx.frame(Kind::SipPdu, 3, 3);
        cx.frame_begins(Kind::SipPdu, 3);
        cx.frame_ends(Kind::SipPdu, 3);
        cx.frames_of(0);
        assert!(cx.frames.is_empty() && !cx.asks_frames(AppProto::Sip));
    }
}
