"""Inputs that were findings once, by target and name; see `tests.fuzz.run`."""

from __future__ import annotations

SEEDS: dict[str, dict[str, bytes]] = {
    "options": {
        "a-host-with-a-bracket": b"a]b:1,c",
        "a-long-port": b"\x9b:03333333333333333333333/",
        "a-list-in-one-text": b"{',o",
    },
    "session": {
        "copy-with-an-absurd-file": bytes.fromhex(
            "09ff020000000100000000000000000000000000000000000000020000000100"
            "0000000000000000000000000000000000000100000003000000000000000000"
            "0000040000000900000002000000000000006462000000000000000000000000"
            "00400000000000000000"
        ),
        "greeting-answered-by-welcome": bytes.fromhex(
            "00ff010000000200000000000000000000000100000002000000000000000000"
            "0000010000000200000000000000000000000100000002000000000000000000"
            "0000010000000200000000000000000000000100000002000000000000000000"
            "0000010000000200000000000000000000000100000002000000000000000000"
            "000001000000020000000000000000000000"
        ),
        "members-answered-by-empty": bytes.fromhex("04ff01000000080000000000000000000000"),
    },
    "statements": {
        "alter-add-not-null": b"\0ALTER TABLE t ADD COLUMN y INT NOT NULL",
        "comment-after": b"\0DELETE FROM t WHERE a=?2/**/;/* ; */",
        "named-parameters": b"\0SELECT $n::m(x), @\xc3\xa9, :n, ?3",
        "nested-with": (b'\0WITH "insert" AS (SELECT 1) REPLACE INTO t(a) SELECT replace(1,2,3)'),
        "quoted-pragma": b'\0PRAGMA "main" . "synchronous"(+2)',
    },
}
