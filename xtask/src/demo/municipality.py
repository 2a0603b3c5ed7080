# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""A municipality that reads its feed and acknowledges. It holds its own token and nothing else.

Arguments: BASE_URL TOKEN SECONDS FILE. Polls the Atom feed every half second (that is the poll interval stated in the
report), follows each new entry's link, presses the button there, and writes one JSON line a warning.
"""
import html.parser, json, sys, time, urllib.error, urllib.parse, urllib.request

import feedparser

base, token, seconds, path = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
POLL = 0.5


class Form(html.parser.HTMLParser):
    """The first POST form of a page: its action and hidden fields."""

    def __init__(self):
        super().__init__()
        self.action, self.fields, self.inside = None, {}, False

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form" and a.get("method", "").lower() == "post" and self.action is None:
            self.action, self.inside = a.get("action", ""), True
        elif tag in ("input", "button") and self.inside and a.get("name"):
            self.fields[a["name"]] = a.get("value", "")

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False


def get(url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as answer:
        return answer.geturl(), answer.read()


seen, end = set(), time.monotonic() + seconds
while time.monotonic() < end:
    try:
        _, document = get(f"{base}/feed/{token}/atom.xml")
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        time.sleep(POLL)  # the aggregator may be restarting
        continue
    for entry in feedparser.parse(document).entries:
        link = next((l.href for l in entry.links if l.get("rel") == "related"), None)
        if entry.id in seen or not link:
            continue
        seen_us = time.time_ns() // 1000
        try:
            url, page = get(link)
            form = Form()
            form.feed(page.decode())
            if form.action is None:
                continue  # no button yet: try again at the next poll
            get(urllib.parse.urljoin(url, form.action), urllib.parse.urlencode(form.fields).encode())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            continue
        seen.add(entry.id)
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps({
                "warning": entry.id, "title": entry.title, "summary": entry.get("summary", ""),
                "seen_us": seen_us, "acknowledged_us": time.time_ns() // 1000,
            }) + "\n")
    time.sleep(POLL)
