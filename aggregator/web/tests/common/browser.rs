// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A real chromium, driven over its debugging pipe (Chrome DevTools Protocol, JSON ended by a zero byte).
//!
//! Must never reach the network: it only opens the test's own listener. Needs no driver, no Node package.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    next: u64,
    /// What the page's console and security policy complained about.
    pub(crate) complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        // The pipe is file 3 (to the browser) and 4 (from it); the shell puts our two ends there.
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
            .args(["--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs; chromium is installed by: apt-get install -y chromium");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        let mut b =
            Self { child, to, from, session: String::new(), next: 0, complaints: Vec::new(), _profile: profile };
        let target = b.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = b.call("Target.attachToTarget", attach);
        b.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            b.call(domain, json!({}));
        }
        b
    }

    fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("chromium takes the message");
        self.next
    }

    fn receive(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("chromium answers");
        assert_eq!(bytes.pop(), Some(0), "chromium ended: is it installed and able to run headless here?");
        let message: Value = serde_json::from_slice(&bytes).expect("chromium speaks JSON");
        if message["method"] == "Log.entryAdded" {
            self.complaints.push(message["params"]["entry"]["text"].to_string());
        }
        if message["method"] == "Runtime.exceptionThrown" {
            self.complaints.push(message["params"].to_string());
        }
        message
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, &params);
        loop {
            let answer = self.receive();
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// Sends, and waits until a page has loaded.
    fn call_and_load(&mut self, method: &str, params: &Value) {
        let id = self.send(method, params);
        let (mut answered, mut loaded) = (false, false);
        while !(answered && loaded) {
            let m = self.receive();
            answered |= m["id"] == json!(id);
            loaded |= m["method"] == "Page.loadEventFired";
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call_and_load("Page.navigate", &json!({ "url": url }));
    }

    /// A screen of this size; a phone's, where `phone`.
    pub(crate) fn screen(&mut self, width: u32, height: u32, phone: bool) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// `print`, `screen`, or as the browser has it (empty); and how a reader who sees colours so sees it (`none`, `achromatopsia`, `deuteranopia`).
    pub(crate) fn sees(&mut self, media: &str, vision: &str) {
        self.call("Emulation.setEmulatedMedia", json!({ "media": media }));
        self.call("Emulation.setEmulatedVisionDeficiency", json!({ "type": vision }));
    }

    /// The value of an expression in the page. The site itself has no script; this one is the test's.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        let found = self.eval(&format!("document.querySelector({})?.innerText ?? null", json!(selector)));
        found.as_str().unwrap_or_else(|| unreachable!("nothing on the page is {selector}")).to_owned()
    }

    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        self.eval(&format!("document.querySelectorAll({}).length", json!(selector))).as_u64().expect("a number")
    }

    /// Presses what the selector finds, with a real mouse event, and waits for the page that follows.
    pub(crate) fn press(&mut self, selector: &str) {
        let find = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            json!(selector)
        );
        let at = self.eval(&find);
        let mut event = json!({ "type": "mousePressed", "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event.clone());
        event["type"] = json!("mouseReleased");
        self.call_and_load("Input.dispatchMouseEvent", &event);
    }

    /// Types into what the selector finds.
    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        self.eval(&format!("document.querySelector({}).focus()", json!(selector)));
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// The whole page as PNG.
    pub(crate) fn shot(&mut self, path: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        self.write(path, "Page.captureScreenshot", params);
    }

    /// The first screen as PNG.
    pub(crate) fn first_screen(&mut self, path: &Path) {
        self.call("Emulation.setScrollbarsHidden", json!({ "hidden": true }));
        self.write(path, "Page.captureScreenshot", json!({ "format": "png" }));
    }

    /// As it is printed: the page's own size, no background colours, as browsers do unless told otherwise.
    pub(crate) fn print(&mut self, path: &Path) {
        self.sees("", "none");
        let params = json!({ "printBackground": false, "preferCSSPageSize": true });
        self.write(path, "Page.printToPDF", params);
    }

    fn write(&mut self, path: &Path, method: &str, params: Value) {
        let answer = self.call(method, params);
        let bytes = STANDARD.decode(answer["data"].as_str().expect("data")).expect("base64");
        std::fs::write(path, bytes).expect("the folder for pictures can be written");
    }
}
