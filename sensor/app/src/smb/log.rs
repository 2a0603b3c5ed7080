// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `smb`, field for field in Suricata's order.

use lagewarte_event::eve::JsonWriter;

use super::{Body, Dialect, FileId, Smb, Status, Tx, auth::Ntlm, names, wire};
use crate::dcerpc::{
    call::Call,
    log::interfaces,
    pdu::{kind, kind_name},
};

/// The member of an event or an alert.
pub fn write(state: &Smb, tx: &Tx, w: &mut JsonWriter) {
    let a = &tx.about;
    w.key("smb").open();
    w.key("id").u64(tx.core.id + 1);
    w.key("dialect");
    match (&state.dialect, a.version) {
        (Dialect::One(name), _) => w.bytes(name),
        (Dialect::Two(d), _) => w.string(names::dialect2(*d)),
        (Dialect::Unknown, _) => w.string("unknown"),
    };
    let command = if a.version == 1 { names::command1(a.command as u8) } else { names::command2(a.command) };
    w.key("command");
    match command {
        Some(name) => w.string(name),
        None => w.string(&a.command.to_string()),
    };
    match tx.status {
        Some(Status::Nt(s)) => {
            w.key("status");
            match names::nt_status(s) {
                Some(name) => w.string(name),
                None => w.string(&s.to_string()),
            };
            w.key("status_code").string(&format!("{s:#x}"));
        }
        Some(Status::Dos(class, code)) => {
            w.key("status");
            match names::dos_status(class, code) {
                Some(name) => w.string(name),
                None => w.string(&code.to_string()),
            };
            w.key("status_code").string(&format!("0x{code:04x}"));
        }
        None => {}
    }
    w.key("session_id").u64(a.session).key("tree_id").u64(a.tree.into());
    body(state, tx, w);
    w.close();
}

fn body(state: &Smb, tx: &Tx, w: &mut JsonWriter) {
    match &tx.body {
        Body::Odd | Body::Generic => {}
        Body::Negotiate { dialects, client, server } => {
            w.key("client_dialects").open_array();
            for d in dialects {
                w.bytes(d);
            }
            w.close_array();
            if let Some(g) = client {
                w.key("client_guid").string(&wire::guid(g));
            }
            if let Some(g) = server {
                w.key("server_guid").string(&wire::guid(g));
            }
            if let Some((read, write)) = state.sizes {
                w.key("max_read_size").u64(read.into()).key("max_write_size").u64(write.into());
            }
        }
        Body::Session { ntlm, kerberos, request, response } => {
            if let Some(k) = kerberos {
                w.key("kerberos").open().key("realm").bytes(&k.realm).key("snames").open_array();
                for n in &k.snames {
                    w.bytes(n);
                }
                w.close_array().close();
            }
            if let Some(Ntlm { domain, user, host, version }) = ntlm {
                w.key("ntlmssp").open().key("domain").bytes(domain).key("user").bytes(user).key("host").bytes(host);
                if let Some(v) = version {
                    w.key("version").string(v);
                }
                w.close();
            }
            for (name, said) in [("request", request), ("response", response)] {
                if let Some((os, lm)) = said {
                    w.key(name).open().key("native_os").bytes(os).key("native_lm").bytes(lm).close();
                }
            }
        }
        Body::Tree { share, pipe, kind, service } => {
            let pipe = pipe.unwrap_or_else(|| wire::is_ipc(share));
            w.key(if pipe { "named_pipe" } else { "share" }).bytes(share);
            if let Some(name) = kind.and_then(names::share_type) {
                w.key("share_type").string(name);
            }
            if service.iter().any(Option::is_some) {
                w.key("service").open();
                for (name, s) in ["request", "response"].into_iter().zip(service) {
                    if let Some(s) = s {
                        w.key(name).bytes(s);
                    }
                }
                w.close();
            }
        }
        Body::Create { name, directory, disposition, delete, created } => {
            let root = name.is_empty(); // it is a filename, as Suricata writes it
            let kind = if *directory && !root { "directory" } else { "filename" };
            w.key(kind).bytes(if root { b"<share_root>" } else { name });
            w.key("disposition").string(names::disposition(*disposition));
            w.key("access").string(if *delete { "delete on close" } else { "normal" });
            // Where nothing was opened they are written all the same.
            let (times, size) = created.as_ref().map_or(([0; 4], 0), |c| (c.times, c.size));
            for (name, t) in ["created", "accessed", "modified", "changed"].into_iter().zip(times) {
                w.key(name).u64(t);
            }
            w.key("size").u64(size);
            match created {
                Some(c) => id(tx.about.version, &c.id, w),
                None => {
                    w.key("fuid").string("");
                }
            }
        }
        Body::File { id: number, name, share, .. } => {
            w.key("filename").bytes(name);
            if !share.is_empty() {
                w.key("share").bytes(share);
            }
            id(tx.about.version, number, w);
        }
        Body::Rename { from, to } => {
            w.key("rename").open().key("from").bytes(from).key("to").bytes(to).close();
        }
        Body::Rpc { call, .. } => rpc(call, w),
        Body::Ioctl { function } => {
            w.key("function");
            match names::function(*function) {
                Some(name) => w.string(name),
                None => w.string(&format!("{function:#x}")),
            };
        }
        Body::SetInfo { name, id: number, kind, level, delete } => {
            w.key("filename").bytes(name);
            w.key("access").string(if *delete { "delete on close" } else { "normal" });
            w.key("subcmd");
            match kind {
                8 => w.string("SET_FILE_INFO"),
                6 => w.string("SET_PATH_INFO"),
                n => w.string(&n.to_string()),
            };
            w.key("level_of_interest");
            match level {
                1013 => w.string("Set File Disposition Information"),
                n => w.string(&n.to_string()),
            };
            if let Some(number) = number {
                id(tx.about.version, number, w);
            }
        }
    }
}

fn id(version: u8, id: &FileId, w: &mut JsonWriter) {
    w.key("fuid");
    match (version, id) {
        (1, [low, high, ..]) => w.string(&format!("{high:02x}{low:02x}")),
        (_, id) => w.string(&wire::guid(id)),
    };
}

fn rpc(call: &Call, w: &mut JsonWriter) {
    w.key("dcerpc").open();
    let size = |name: &str, side: usize, w: &mut JsonWriter| {
        w.key(name).open().key("frag_cnt").u64(call.fragments[side].into());
        w.key("stub_data_size").u64(call.stub_size[side]).close();
    };
    match call.request {
        Some(k) => w.key("request").string(kind_name(k)),
        None => w.key("request").string("REQUEST_LOST"),
    };
    match call.response {
        Some(k) => w.key("response").string(kind_name(k)),
        None => w.key("response").string("UNREPLIED"),
    };
    if call.request == Some(kind::REQUEST) {
        w.key("opnum").u64(call.opnum.into());
        size("req", 0, w);
    }
    if call.response == Some(kind::RESPONSE) {
        size("res", 1, w);
    }
    interfaces(call, w);
    w.key("call_id").u64(call.id.into()).close();
}
