// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as a pcap or pcapng file: frames and a counted end, never more bytes than went in, never a hang.
#![no_main]
use lagewarte_capture::{CaptureFile, Next, Source};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut file) = CaptureFile::from_reader(Box::new(std::io::Cursor::new(data.to_vec())), "fuzz".into(), None)
    else {
        return;
    };
    let mut bytes = 0;
    while let Ok(Next::Frame(frame)) = file.next() {
        bytes += frame.data.len();
    }
    assert!(bytes <= data.len());
    assert!(file.stats().received <= data.len() as u64);
});
