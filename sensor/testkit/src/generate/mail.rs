// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Dialogues of SMTP, FTP, SSH and SMB around bytes that a rule looks for.

use super::dialogue::{Buffers, Step};

fn client(data: &[u8]) -> Step {
    Step { from_client: true, data: data.to_vec() }
}

fn server(data: &[u8]) -> Step {
    Step { from_client: false, data: data.to_vec() }
}

/// A mail. Variants: raw bytes in the text, as a line of the header, as a command.
pub(crate) fn smtp(buffers: &Buffers, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    let get = |name: &str, usual: &[u8]| buffers.get(name).cloned().unwrap_or_else(|| usual.to_vec());
    let raw = get("", b"");
    if !to_server {
        return Some(vec![server(&raw), client(b"EHLO mail.example.test\r\n"), server(b"250 ok\r\n")]);
    }
    let helo = [b"EHLO ", get("smtp.helo", b"mail.example.test").as_slice(), b"\r\n"].concat();
    let from = [b"MAIL FROM:<", get("smtp.mail_from", b"a@example.test").as_slice(), b">\r\n"].concat();
    let to = [b"RCPT TO:<", get("smtp.rcpt_to", b"b@example.test").as_slice(), b">\r\n"].concat();
    let mut steps = vec![server(b"220 mail.example.test ESMTP\r\n"), client(&helo), server(b"250 ok\r\n")];
    if variant % 3 == 2 {
        steps.extend([client(&[raw.as_slice(), b"\r\n"].concat()), server(b"250 ok\r\n")]);
        return Some(steps);
    }
    let mut mail = b"From: a@example.test\r\nTo: b@example.test\r\n".to_vec();
    if variant % 3 == 1 {
        mail.extend([raw.as_slice(), b"\r\n"].concat());
    }
    match buffers.get("file.data") {
        Some(file) => {
            let name = get("file.name", b"a.bin");
            mail.extend(b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b0\"\r\n\r\n--b0\r\n");
            mail.extend(b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n");
            mail.extend([b"Content-Disposition: attachment; filename=\"", name.as_slice(), b"\"\r\n\r\n"].concat());
            for line in base64(file).chunks(76) {
                mail.extend([line, b"\r\n"].concat());
            }
            mail.extend([b"--b0\r\n\r\n".as_slice(), &raw, b"\r\n--b0--\r\n"].concat());
        }
        None if variant % 3 == 1 => mail.extend(b"\r\nhello\r\n"),
        None => mail.extend([b"\r\n", raw.as_slice(), b"\r\n"].concat()),
    }
    mail.extend(b".\r\n");
    steps.extend([client(&from), server(b"250 ok\r\n"), client(&to), server(b"250 ok\r\n")]);
    steps.extend([client(b"DATA\r\n"), server(b"354 go\r\n"), client(&mail), server(b"250 ok\r\n")]);
    steps.extend([client(b"QUIT\r\n"), server(b"221 bye\r\n")]);
    Some(steps)
}

/// Commands and replies. Variant 0: the bytes are a line after the login, 1: they are the first.
pub(crate) fn ftp(buffers: &Buffers, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    let command = buffers.get("ftp.command").cloned();
    let data = buffers.get("ftp.command_data").cloned();
    let line = match (command, data) {
        (None, None) => buffers.get("").or_else(|| buffers.get("ftp.reply")).cloned().unwrap_or_default(),
        (c, d) => [c.unwrap_or_else(|| b"USER".to_vec()), d.unwrap_or_else(|| b"a".to_vec())].join(b" ".as_slice()),
    };
    let line = if line.ends_with(b"\n") { line } else { [line.as_slice(), b"\r\n"].concat() };
    if !to_server {
        return Some(if variant == 0 {
            vec![
                server(b"220 ready\r\n"),
                client(b"USER a\r\n"),
                server(&line),
                client(b"NOOP\r\n"),
                server(b"200 ok\r\n"),
            ]
        } else {
            vec![server(&line), client(b"USER a\r\n"), server(b"331 more\r\n")]
        });
    }
    let login = [client(b"USER a\r\n"), server(b"331 more\r\n"), client(b"PASS b\r\n"), server(b"230 in\r\n")];
    let mut steps = vec![server(b"220 ready\r\n")];
    if variant == 0 {
        steps.extend(login);
    }
    steps.extend([client(&line), server(b"200 ok\r\n"), client(b"NOOP\r\n"), server(b"200 ok\r\n")]);
    Some(steps)
}

/// Both banners.
pub(crate) fn ssh(buffers: &Buffers, to_server: bool) -> Option<Vec<Step>> {
    let get = |name: &str, usual: &[u8]| buffers.get(name).cloned().unwrap_or_else(|| usual.to_vec());
    let usual = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec();
    let proto = get("ssh.proto", b"2.0");
    let mine = match buffers.get("") {
        Some(raw) => raw.clone(),
        None => [b"SSH-", proto.as_slice(), b"-", &get("ssh.software", b"OpenSSH_9.2"), b"\r\n"].concat(),
    };
    let (first, second) = if to_server { (mine, usual) } else { (usual, mine) };
    Some(vec![client(&first), server(&second)])
}

/// A negotiation, then the bytes; variant 1: the bytes alone.
pub(crate) fn smb(buffers: &Buffers, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    let raw = Step { from_client: to_server, data: buffers.get("").cloned().unwrap_or_default() };
    let mut negotiate = b"\xffSMB\x72\0\0\0\0\x18\x53\xc8".to_vec();
    negotiate.extend([0; 20]);
    negotiate.extend(b"\0\x0c\0\x02NT LM 0.12\0");
    let mut answer = b"\xffSMB\x72\0\0\0\0\x98\x53\xc8".to_vec();
    answer.extend([0; 20]);
    answer.extend([0; 3]);
    let framed = |b: &[u8]| [&[0, 0, 0, b.len() as u8], b].concat(); // both are short
    if variant > 0 {
        return Some(vec![raw]);
    }
    Some(vec![client(&framed(&negotiate)), server(&framed(&answer)), raw])
}

/// Base64 of `bytes`.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    const ABC: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(if i <= chunk.len() { ABC[(n >> (18 - 6 * i) & 63) as usize] } else { b'=' });
        }
    }
    out
}
