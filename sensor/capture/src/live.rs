// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Live capture from an interface through libpcap (AF_PACKET, TPACKET_V3).
//!
//! Immediate mode stays off: with it libpcap falls back to TPACKET_V2, at four times the CPU. Blocking reads with a
//! timeout hung for minutes on an idle line, so the handles do not block and we poll. Several handles share the line by
//! PACKET_FANOUT: several rings of kernel memory, read in turn by one caller.
//!
//! Must never write to the interface. Limits: memory is [`Options::buffer_bytes`] for each handle.

use std::os::fd::{AsRawFd, RawFd};

use lagewarte_base::time::Timestamp;
use pcap::{Active, Capture};

use crate::{Error, Frame, Next, Source, Stats};

/// Longest wait for a packet before [`Next::Idle`], milliseconds. Bounds how late a stop or a clock tick is noticed.
const POLL_MS: i32 = 50;
/// How long the kernel may hold back a block that is not full, milliseconds: a part of every event's delay.
const BLOCK_MS: i32 = 20;

/// How to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Capture filter, in the language of tcpdump.
    pub filter: Option<String>,
    /// Bytes kept of each packet.
    pub snaplen: i32,
    /// Kernel memory for each handle, bytes.
    pub buffer_bytes: i32,
    /// Handles that share the line; 1 does without fanout.
    pub handles: usize,
    /// Whether packets for other stations are taken too.
    pub promiscuous: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { filter: None, snaplen: 65_535, buffer_bytes: 32 << 20, handles: 1, promiscuous: true }
    }
}

/// An interface being listened on.
pub struct Live {
    interface: String,
    handles: Vec<Handle>,
    /// The handle that gave the last packet; the others come first next time.
    turn: usize,
    frame: Vec<u8>,
}

struct Handle {
    capture: Capture<Active>,
    linktype: u16,
    last: pcap::Stat,
    received: u64,
    dropped: u64,
}

impl Live {
    /// Opens an interface.
    ///
    /// # Errors
    ///
    /// Where there is no such interface, the right to capture is missing, or the filter is wrong.
    pub fn open(interface: &str, options: &Options) -> Result<Self, Error> {
        let refused =
            |e: pcap::Error| Error::Interface { interface: interface.to_owned(), reason: advise(&e.to_string()) };
        let group = (std::process::id() & 0xffff) as u16; // the lower half tells groups of processes apart well enough
        let mut handles = Vec::new();
        for _ in 0..options.handles.max(1) {
            let capture = Capture::from_device(interface)
                .map_err(refused)?
                .promisc(options.promiscuous)
                .snaplen(options.snaplen)
                .buffer_size(options.buffer_bytes)
                .immediate_mode(false)
                .timeout(BLOCK_MS)
                .open()
                .map_err(refused)?;
            let mut capture = capture.setnonblock().map_err(refused)?;
            if let Some(filter) = &options.filter {
                capture
                    .filter(filter, true)
                    .map_err(|e| Error::Filter { filter: filter.clone(), reason: e.to_string() })?;
            }
            let linktype = capture.get_datalink().0 as u16; // DLT numbers of Linux fit
            if options.handles > 1 {
                fanout(capture.as_raw_fd(), group).map_err(|e| Error::Interface {
                    interface: interface.to_owned(),
                    reason: format!("sharing it between {} handles (PACKET_FANOUT): {e}", options.handles),
                })?;
            }
            let last = pcap::Stat { received: 0, dropped: 0, if_dropped: 0 };
            handles.push(Handle { capture, linktype, last, received: 0, dropped: 0 });
        }
        Ok(Self { interface: interface.to_owned(), handles, turn: 0, frame: Vec::new() })
    }
}

impl Source for Live {
    fn next(&mut self) -> Result<Next<'_>, Error> {
        for attempt in 0..2 {
            let n = self.handles.len();
            for i in 0..n {
                let at = (self.turn + i) % n;
                let handle = &mut self.handles[at]; // at < n
                match handle.capture.next_packet() {
                    Ok(p) => {
                        let time = Timestamp::from_parts(p.header.ts.tv_sec, p.header.ts.tv_usec);
                        let wire_len = p.header.len;
                        // Out of the ring at once: the ring's block goes back to the kernel with the next read.
                        self.frame.clear();
                        self.frame.extend_from_slice(p.data);
                        let linktype = handle.linktype;
                        self.turn = at + 1;
                        return Ok(Next::Frame(Frame { time, linktype, wire_len, data: &self.frame }));
                    }
                    Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => {}
                    Err(e) => {
                        return Err(Error::Lost { interface: self.interface.clone(), reason: e.to_string() });
                    }
                }
            }
            if attempt == 0 && !wait(self.handles.iter().map(|h| h.capture.as_raw_fd()), POLL_MS) {
                break;
            }
        }
        Ok(Next::Idle)
    }

    fn stats(&mut self) -> Stats {
        let mut all = Stats::default();
        for h in &mut self.handles {
            if let Ok(now) = h.capture.stats() {
                // libpcap counts in 32 bits, which wrap within the hour on a fast line.
                h.received += u64::from(now.received.wrapping_sub(h.last.received));
                h.dropped += u64::from(now.dropped.wrapping_sub(h.last.dropped))
                    + u64::from(now.if_dropped.wrapping_sub(h.last.if_dropped));
                h.last = now;
            }
            all.received += h.received;
            all.dropped += h.dropped;
        }
        all
    }

    fn interface(&self) -> Option<&str> {
        Some(&self.interface)
    }
}

fn advise(reason: &str) -> String {
    let lower = reason.to_ascii_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        format!(
            "{reason}; run as root, or give the program the right: setcap cap_net_raw,cap_net_admin+ep lagewarte-sensor"
        )
    } else if lower.contains("no such device") {
        format!("{reason}; `ip link` lists the interfaces")
    } else {
        reason.to_owned()
    }
}

/// Waits until one of the descriptors has something to read; false where none has in time.
#[expect(unsafe_code, reason = "poll(2) has no safe binding in the crates given")]
fn wait(fds: impl Iterator<Item = RawFd>, millis: i32) -> bool {
    let mut fds: Vec<libc::pollfd> = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: the pointer and the length are those of a live vector of pollfd; poll writes `revents` only.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) > 0 }
}

/// Joins a socket to a fanout group: packets are shared out by the kernel's hash over the flow, fragments put together
/// for it.
#[expect(unsafe_code, reason = "setsockopt(2) has no safe binding in the crates given")]
fn fanout(fd: RawFd, group: u16) -> std::io::Result<()> {
    let value: libc::c_int = libc::c_int::from(group) | (libc::PACKET_FANOUT_FLAG_DEFRAG as libc::c_int) << 16;
    // SAFETY: the value lives until the call returns, and its size is the one given.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            std::ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
