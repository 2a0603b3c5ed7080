// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Batches compressed for the line: zstd, with a dictionary that knows what EVE looks like.
//!
//! A sensor's batches are small (one alert in 50 ms), and small texts compress badly by themselves. Both sides carry the
//! same dictionaries, known by a number; Hello offers, Welcome chooses, and without a common one they talk in plain zstd, or
//! not compressed at all. A dictionary that was ever released stays in the list: old sensors are not updated in step.
//!
//! Must never let a frame decide how much memory it unpacks to. Limits: [`MAX_BATCH_BYTES`], checked before and while
//! unpacking.

use std::{io, sync::OnceLock};

use prost::Message as _;
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

use crate::{Batch, MAX_BATCH_BYTES, Packed};

/// zstd without a dictionary.
pub const PLAIN: u32 = 0;
/// zstd's level: the default. A sensor sends some hundred events a second at most; the line is dearer than its processor.
pub const LEVEL: i32 = 3;

/// Every dictionary ever released, by its number (which is in its own header, too). Trained by `examples/dictionary.rs`.
const DICTIONARIES: [(u32, &[u8]); 1] = [(100_001, include_bytes!("../dictionaries/eve-100001.zdict"))];

static ENCODERS: [OnceLock<EncoderDictionary<'static>>; DICTIONARIES.len()] =
    [const { OnceLock::new() }; DICTIONARIES.len()];
static DECODERS: [OnceLock<DecoderDictionary<'static>>; DICTIONARIES.len()] =
    [const { OnceLock::new() }; DICTIONARIES.len()];

/// What this side has, best first: for Hello.
pub fn offered() -> Vec<u32> {
    DICTIONARIES.iter().rev().map(|(id, _)| *id).chain([PLAIN]).collect()
}

/// The best that both sides have; None where the other side offers nothing that we know: then batches are not packed.
pub fn choose(offered: &[u32]) -> Option<u32> {
    self::offered().into_iter().find(|id| offered.contains(id))
}

fn index(dictionary: u32) -> io::Result<Option<usize>> {
    if dictionary == PLAIN {
        return Ok(None);
    }
    let found = DICTIONARIES.iter().position(|(id, _)| *id == dictionary);
    found.map(Some).ok_or_else(|| io::Error::other(format!("dictionary {dictionary} is not known here")))
}

/// Packs a batch.
///
/// # Errors
/// Where the dictionary is not known, or memory is refused.
pub fn pack(batch: &Batch, dictionary: u32) -> io::Result<Packed> {
    let plain = batch.encode_to_vec();
    let mut compressor = match index(dictionary)? {
        None => Compressor::new(LEVEL)?,
        Some(i) => Compressor::with_prepared_dictionary(
            ENCODERS[i].get_or_init(|| EncoderDictionary::copy(DICTIONARIES[i].1, LEVEL)), // both arrays are that long
        )?,
    };
    let size = u32::try_from(plain.len()).map_err(io::Error::other)?;
    Ok(Packed { dictionary, size, zstd: compressor.compress(&plain)? })
}

/// Unpacks one; the word for the protocol error where it is none.
///
/// # Errors
/// `packed-too-large`, `packed-dictionary`, `packed-damaged`.
pub fn unpack(packed: &Packed) -> Result<Batch, &'static str> {
    let size = usize::try_from(packed.size).unwrap_or(usize::MAX);
    if size > MAX_BATCH_BYTES {
        return Err("packed-too-large");
    }
    let mut decompressor = match index(packed.dictionary).map_err(|_| "packed-dictionary")? {
        None => Decompressor::new(),
        Some(i) => Decompressor::with_prepared_dictionary(
            DECODERS[i].get_or_init(|| DecoderDictionary::copy(DICTIONARIES[i].1)), // both arrays are that long
        ),
    }
    .map_err(|_| "packed-damaged")?;
    // The buffer has the announced size; zstd refuses to write beyond it.
    let plain = decompressor.decompress(&packed.zstd, size).map_err(|_| "packed-damaged")?;
    if plain.len() != size {
        return Err("packed-damaged");
    }
    Batch::decode(plain.as_slice()).map_err(|_| "packed-damaged")
}
