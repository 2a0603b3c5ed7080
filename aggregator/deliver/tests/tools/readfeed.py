# SPDX-FileCopyrightText: Lagewarte contributors
# SPDX-License-Identifier: EUPL-1.2
"""Reads an Atom document with two independent readers and prints what they saw as JSON. Argument: FILE.

The XML parser must accept it (well-formed), RFC 4287's required elements must stand once where it wants them, and
feedparser must not call it bozo.
"""
import json
import sys
import xml.etree.ElementTree as ET

import feedparser

ATOM = "{http://www.w3.org/2005/Atom}"
root = ET.parse(sys.argv[1]).getroot()
assert root.tag == ATOM + "feed", root.tag


def once(parent, name):
    found = parent.findall(ATOM + name)
    assert len(found) == 1 and (found[0].text or len(found[0])), (parent.tag, name, len(found))
    return found[0]


# RFC 4287, sections 4.1.1 and 4.1.2: exactly one id, title, updated; an author at the feed or at every entry.
for parent in [root, *root.findall(ATOM + "entry")]:
    for name in ("id", "title", "updated"):
        once(parent, name)
once(root, "author")
known = {"id", "title", "updated", "published", "author", "link", "entry", "category", "summary", "content", "name", "email"}
unknown = {e.tag for e in root.iter()} - {ATOM + "feed"} - {ATOM + n for n in known}
assert not unknown, unknown
ids = [e.findtext(ATOM + "id") for e in root.findall(ATOM + "entry")]
assert len(ids) == len(set(ids)), "an id twice"

feed = feedparser.parse(sys.argv[1], sanitize_html=False)
assert not feed.bozo, feed.bozo_exception
print(json.dumps({
    "version": feed.version,
    "id": feed.feed.id,
    "title": feed.feed.title,
    "updated": feed.feed.updated,
    "author": feed.feed.author_detail,
    "links": [dict(link) for link in feed.feed.links],
    "entries": [{
        "id": e.id,
        "title": e.title,
        "updated": e.updated,
        "published": e.published,
        "summary": e.summary,
        "content": e.content[0].value,
        "content_type": e.content[0].type,
        "tags": [t.term for t in e.tags],
        "links": [[link.rel, link.get("title"), link.href] for link in e.links],
        "parsed": list(e.updated_parsed),
    } for e in feed.entries],
}))
