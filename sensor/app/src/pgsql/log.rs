// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `pgsql`. Transactions are numbered from 1 here, as Suricata does.

use lagewarte_event::eve::JsonWriter;

use super::{Choices, Request, Response, Tx, parser};

/// The member of an event or an alert.
pub fn write(tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    w.key("pgsql").open().key("tx_id").u64(tx.core.id + 1);
    if !matches!(tx.request, Request::None) {
        w.key("request").open();
        request(&tx.request, choices, w);
        w.close();
    }
    if tx.response != Response::default() {
        w.key("response").open();
        response(&tx.response, w);
        w.close();
    }
    w.close();
}

fn request(r: &Request, choices: &Choices, w: &mut JsonWriter) {
    match r {
        Request::None | Request::Other(_) => {}
        Request::Ssl => drop(w.key("message").string("SSL Request")),
        Request::Terminate => drop(w.key("message").string("termination_message")),
        Request::Startup { version: (major, minor), parameters } => {
            w.key("protocol_version").string(&format!("{major}.{minor}")).key("startup_parameters").open();
            let user = parameters.iter().find(|(n, _)| n == b"user");
            if let Some((_, user)) = user {
                w.key("user").bytes(user);
            }
            w.key("optional_parameters").open_array();
            for (name, value) in parameters.iter().filter(|(n, _)| n != b"user") {
                w.open().key(&parser::snake(name)).bytes(value).close();
            }
            w.close_array().close();
        }
        Request::Password(p) if choices.passwords => drop(w.key("password").bytes(p)),
        Request::Password(_) => drop(w.key("password_redacted").bool(true)),
        Request::SaslInitial { mechanism, data } => {
            let name = match mechanism.as_slice() {
                b"SCRAM-SHA-256" => "scram_SHA256",
                b"SCRAM-SHA-256-PLUS" => "scram_SHA256_plus",
                _ => "unknown",
            };
            w.key("sasl_authentication_mechanism").string(name).key("sasl_param").bytes(data);
        }
        Request::SaslResponse(data) => drop(w.key("sasl_response").bytes(data)),
        Request::Query(query) => drop(w.key("simple_query").bytes(query)),
        Request::Cancel(process, key) => {
            w.key("message").string("cancel_request").key("process_id").u64((*process).into());
            w.key("secret_key").u64((*key).into());
        }
    }
}

fn response(r: &Response, w: &mut JsonWriter) {
    if let Some(yes) = r.ssl {
        w.key("ssl_accepted").bool(yes);
    }
    for (step, data) in &r.auth {
        if *step == 12 {
            w.key("authentication_sasl_final").bytes(data);
        }
    }
    // The last step is what was said in the end.
    if let Some((step, data)) = r.auth.last() {
        match step {
            5 => drop(w.key("authentication_md5_password").bytes(data)),
            other => {
                let name = match other {
                    0 => "authentication_ok",
                    3 => "authentication_cleartext_password",
                    10 => "authentication_sasl",
                    11 => "authentication_sasl_continue",
                    12 => "authentication_sasl_final",
                    _ => "authentication_unknown",
                };
                w.key("message").string(name);
            }
        }
    }
    if !r.parameters.is_empty() {
        w.key("parameter_status").open_array();
        for (name, value) in &r.parameters {
            w.open().key(&parser::snake(name)).bytes(value).close();
        }
        w.close_array();
    }
    if let Some((process, key)) = r.key {
        w.key("process_id").u64(process.into()).key("secret_key").u64(key.into());
    }
    if let Some((columns, rows, size)) = r.rows {
        w.key("field_count").u64(columns.into()).key("data_rows").u64(rows).key("data_size").u64(size);
    }
    if let Some(text) = &r.completed {
        w.key("command_completed").bytes(text);
    }
    // PostgreSQL documentation, "Error and Notice Message Fields".
    for (letter, name) in [
        (b'S', "severity_localizable"),
        (b'V', "severity_non_localizable"),
        (b'C', "code"),
        (b'M', "message"),
        (b'D', "detail"),
        (b'H', "hint"),
        (b'F', "file"),
        (b'L', "line"),
        (b'R', "routine"),
    ] {
        if let Some((_, text)) = r.error.iter().find(|(l, _)| *l == letter)
            && !(letter == b'M' && r.auth.last().is_some_and(|(step, _)| *step != 5))
        {
            w.key(name).bytes(text);
        }
    }
}
