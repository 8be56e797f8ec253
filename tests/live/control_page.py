"""The examples of docs/control.md, for whoever wants to compare something with them.

```json request WORDS``` and ```json reply WORDS``` belong together. WORDS name the example; the
request is run as it stands, on a daemon of its own.
"""

import json
import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
TEXT = (SOURCE / "docs/control.md").read_text()


def examples(kind):
    """The fenced examples: {words behind the kind: JSON}."""
    found = re.findall(rf"^```json {kind}\b(.*?)\n(.*?)^```$", TEXT, re.M | re.S)
    named = {words.strip(): json.loads(text) for words, text in found}
    assert len(named) == len(found), "no name twice"
    return named


REQUESTS, REPLIES = examples("request"), examples("reply")


def shape(value):
    """Which keys there are, at every level; one item stands for a list."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None
