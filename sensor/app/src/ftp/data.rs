// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! FTP's data connections: one transaction with one file each, named by the command that announced it.
//!
//! Must never look at what is transferred, but to hand it to its file.

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    expect::Transfer,
    file::{File, Files, Pieces},
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// A flow's state.
#[derive(Debug)]
pub struct FtpData {
    txs: Txs<Tx>,
}

/// The transfer.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// What announced it.
    pub transfer: Transfer,
    /// Its file.
    pub files: Files,
}

transaction!(Tx);

impl FtpData {
    /// Of a transfer.
    pub fn new(transfer: Transfer) -> Self {
        let mut txs = Txs::new(1);
        txs.push(Tx { transfer, ..Tx::default() });
        Self { txs }
    }
}

impl Protocol for FtpData {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = &[];

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { direction, data, eof, .. } = input;
        let config = cx.config;
        let Some(tx) = self.txs.last() else { return Step::Ok(data.len()) };
        if !data.is_empty() {
            if tx.files.is_empty() {
                tx.files.open(File::open(&tx.transfer.name, direction, &config.files, Pieces::default()));
            }
            let news = tx.files.iter_mut().filter(|f| f.direction() == direction).fold(false, |n, f| n | f.push(data));
            if news {
                tx.core.touch(direction);
            }
        }
        if eof {
            for file in tx.files.iter_mut().filter(|f| f.direction() == direction) {
                file.close();
            }
            tx.core.reach(direction, DONE);
            if tx.files.towards(direction).next().is_some() {
                tx.core.finish(); // the other side has nothing to say
            }
        }
        Step::Ok(data.len())
    }

    fn gap(&mut self, direction: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        if let Some(tx) = self.txs.last() {
            for file in tx.files.iter_mut().filter(|f| f.direction() == direction) {
                file.gap(len);
            }
            tx.core.touch(direction);
        }
        Step::Ok(0)
    }

    fn proto(&self) -> AppProto {
        AppProto::FtpData
    }
    fn finish(&mut self) {
        for tx in self.txs.iter_mut() {
            tx.files.finish(Direction::ToServer);
            tx.files.finish(Direction::ToClient);
            tx.core.finish();
        }
    }
    own_txs!();
    fn files<'a>(&'a self, tx: &'a Tx) -> Option<&'a Files> {
        Some(&tx.files)
    }
    fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        self.txs.at_mut(place).map(|t| &mut t.files)
    }
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        match buffer {
            Buffer::FileData => tx.files.towards(direction).filter_map(|f| f.window.shown()).nth(index),
            Buffer::FileName => {
                tx.files.towards(direction).nth(index).map(|f| f.name.as_slice()).filter(|n| !n.is_empty())
            }
            Buffer::FileMagic => tx.files.magic(direction, index),
            Buffer::FtpdataCommand if index == 0 => Some(&tx.transfer.command),
            _ => None,
        }
    }
    fn number(&self, _: &Tx, _: Field, _: Direction, _: usize) -> Option<u64> {
        None
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        match buffer {
            Buffer::FtpdataCommand => 0,
            _ => DONE,
        }
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("ftp_data", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("ftp_data").open();
        if !tx.transfer.name.is_empty() {
            w.key("filename").bytes(&tx.transfer.name);
        }
        w.key("command").bytes(&tx.transfer.command).close();
    }
}
