"""A grammar of SQL as SQLite takes it; each byte of a fuzzer's input chooses an alternative."""

from __future__ import annotations

import re

#: symbol -> its alternatives; words in angle brackets are symbols, all else is text.
RULES: dict[str, tuple[str, ...]] = {
    "start": ("<stmt>", "<stmt>;", "<gap><stmt><gap>", "<stmt>; <stmt>", "EXPLAIN <stmt>",
              "EXPLAIN QUERY PLAN <stmt>", ";<stmt>", "<stmt>;<gap>"),
    "gap": (" ", "/* ; */", "-- '\n", "\n", "\ufeff", "/**/", "\t", "\f"),
    "stmt": ("<select>", "<with><select>", "<insert>", "<with><insert>", "<update>",
             "<with><update>", "<delete>", "<with><delete>", "<ddl>", "<ddl>", "<pragma>",
             "<control>", "<control>", "<attach>", "VALUES (<expr>), (<expr>)"),
    "with": ("WITH c AS (<select>) ", "WITH c(x) AS MATERIALIZED (<select>) ",
             "WITH c AS NOT MATERIALIZED (<select>) ",
             "WITH RECURSIVE c(x) AS (<select> UNION ALL <select>) ",
             "WITH \"insert\" AS (<select>), c AS (<select>) ", "WITH replace AS (<select>) ",
             "WITH returning(x) AS (VALUES (1)), [update] AS (<select>) "),
    "select": ("SELECT <expr>", "SELECT <expr> FROM <source>", "SELECT * FROM <source>",
               "SELECT DISTINCT <expr>, <expr> FROM <source> WHERE <expr> ORDER BY 1 LIMIT 1",
               "SELECT <expr> AS <name> FROM <source>, <source> GROUP BY 1 HAVING <expr>",
               "<select> UNION <select>", "SELECT <expr> <name>", "SELECT sum(1) OVER (<over>)"),
    "over": ("", "ORDER BY <expr>", "PARTITION BY <expr> ROWS 1 PRECEDING"),
    "source": ("t", "u", "v", "f", "optimize", "t AS <name>", "(<select>)", "t JOIN u ON <expr>",
               "pragma_table_info('t')", "main.t", "\"t\"", "[t]", "'t'", "pragma_optimize",
               "\"pragma_optimize\"", "main.pragma_optimize(1)", "sqlite_master", "json_each('[]')",
               "pragma_optimize AS o", "pragma_page_count", "pragma_user_version"),
    "expr": ("1", "a", "'x'", "?", "?2", ":n", "@n", "$n::m(x)", "NULL", "x'00'", "1.5e3", "0x1f",
             "<expr> + <expr>", "(<expr>)", "(<select>)", "EXISTS (<select>)", "<expr> IN (1, 2)",
             "CASE WHEN <expr> THEN <expr> ELSE <expr> END", "CAST(<expr> AS TEXT)", "abs(<expr>)",
             "<call>(f)", "replace('a', 'b', 'c')", "<expr> IS NOT <expr>", "-<expr>", "'it''s'",
             "\"a\"\"b\"", "coalesce(<expr>, <expr>)", "fts3_tokenizer('simple')", "x", "flag",
             "<expr> || <expr>", "<expr> COLLATE nocase", "like('a', <expr>)", "a ISNULL", "\"a\"",
             "<expr>/*)*/", "<expr>--(\n", "<expr> -> 'a'", "1 BETWEEN 0 AND 2", "random()"),
    "call": ("optimize", "\"optimize\"", "[optimize]", "OPTIMIZE", "`optimize`", "snippet",
             "optimize/* */", "optimize\n", "offsets"),
    "name": ("n", "a", "\"n\"", "[n]", "`n`", "'n'", "é", "returning", "replace", "key", "fail",
             "end", "query", "plan", "conflict", "temp", "without", "optimize"),
    "insert": ("<into> t(a) VALUES (<expr>)<tail>", "<into> t(a, b) <select><tail>",
               "<into> t DEFAULT VALUES<tail>", "<into> v(a) VALUES (<expr>)",
               "<into> t AS <name>(a) VALUES (<expr>)<upsert><tail>",
               "<into> f VALUES ('optimize')",
               "<into> sqlite_master(type, name) VALUES ('table', 'x')",
               "<into> main.\"sqlite_schema\" <select>", "<into> f(f) VALUES ('optimize')"),
    "into": ("INSERT INTO", "REPLACE INTO", "INSERT OR REPLACE INTO", "INSERT OR FAIL INTO",
             "INSERT OR IGNORE INTO", "insert/**/or fail into", "INSERT OR ROLLBACK INTO"),
    "upsert": (" ON CONFLICT DO NOTHING", " ON CONFLICT(a) DO UPDATE SET b = <expr>",
               " ON CONFLICT(a) DO UPDATE SET b = excluded.b WHERE <expr>", ""),
    "tail": ("", "", "", " RETURNING *", " RETURNING <expr>", " RETURNING <expr> AS <name>",
             "/**/returning<gap><expr>"),
    "update": ("UPDATE t SET a = <expr><tail>", "UPDATE OR FAIL t SET a = <expr> WHERE <expr>",
               "UPDATE t SET (a, b) = (<expr>, <expr>) FROM u WHERE <expr><tail>",
               "UPDATE OR REPLACE t AS <name> SET a = <expr>", "UPDATE main.t SET a = (<select>)",
               "UPDATE sqlite_master SET sql = ''", "UPDATE [sqlite_temp_master] SET name = <expr>",
               "UPDATE t INDEXED BY ta SET b = 1 WHERE b = <expr><tail>"),
    "delete": ("DELETE FROM t<tail>", "DELETE FROM t WHERE <expr><tail>",
               "DELETE FROM u AS <name> WHERE <expr>", "DELETE FROM sqlite_schema WHERE <expr>"),
    "ddl": ("CREATE TABLE n(<columns>)", "CREATE TEMP TABLE n AS <select>", "DROP TABLE t",
            "CREATE TABLE IF NOT EXISTS n(<columns>) WITHOUT ROWID", "CREATE VIEW n AS <select>",
            "CREATE TEMPORARY VIEW <name> AS <with><select>", "CREATE UNIQUE INDEX n ON t(<expr>)",
            "CREATE TRIGGER <name> AFTER INSERT ON t BEGIN <body> END",
            "CREATE TEMP TRIGGER IF NOT EXISTS n BEFORE UPDATE ON t WHEN <expr> BEGIN <body> END",
            "CREATE VIRTUAL TABLE n USING fts4(a)", "ALTER TABLE t ADD COLUMN <column>",
            "ALTER TABLE t RENAME TO <name>", "ANALYZE", "REINDEX t", "DROP VIEW IF EXISTS v",
            "CREATE VIEW main.n(x) AS <select>", "CREATE VIEW IF NOT EXISTS n AS <select>"),
    "columns": ("<column>", "<column>, <column>", "x PRIMARY KEY<conflict>, <column>",
                "a, b, UNIQUE(a)<conflict>", "a CHECK (<expr>)<conflict>, <column>"),
    "column": ("x", "y BOOLEAN DEFAULT 1", "y INT NOT NULL<conflict>", "y DATE DEFAULT 'x'",
               "z AS (1)",
               "y TEXT UNIQUE<conflict>", "fail TEXT", "y DEFAULT (<expr>)",
               "\"fail\" INT NOT NULL"),
    "conflict": ("", " ON CONFLICT FAIL", " ON CONFLICT ABORT", " on/**/conflict fail"),
    "body": ("<insert>;", "<update>; <delete>;", "<select>;", "SELECT RAISE(FAIL, 'x');",
             "SELECT RAISE(ABORT, 'x');", "SELECT RAISE/**/( FAIL , 'x');", "<body> <body>",
             "SELECT CASE WHEN <expr> THEN <expr> END;",
             "INSERT OR FAIL INTO u VALUES (1, 0, '');"),
    "pragma": ("PRAGMA <pragmas>", "PRAGMA <pragmas> = <setting>", "PRAGMA <pragmas>(<setting>)",
               "PRAGMA main.<pragmas> = <setting>", "PRAGMA \"main\" . \"<pragmas>\"(<setting>)",
               "PRAGMA/**/<pragmas><gap>=<gap><setting>", "PRAGMA [<pragmas>]"),
    "pragmas": ("journal_mode", "synchronous", "page_size", "wal_checkpoint", "wal_autocheckpoint",
                "optimize", "count_changes", "hard_heap_limit", "soft_heap_limit", "temp_store",
                "temp_store_directory", "user_version", "application_id", "schema_version",
                "foreign_keys", "table_info", "integrity_check", "quick_check", "mmap_size",
                "incremental_vacuum", "auto_vacuum", "locking_mode", "cache_size", "encoding",
                "secure_delete", "max_page_count", "journal_size_limit", "SYNCHRONOUS",
                "default_cache_size", "analysis_limit", "case_sensitive_like", "data_version",
                "foreign_key_check", "index_list", "freelist_count", "query_only", "threads",
                "shrink_memory", "trusted_schema", "legacy_alter_table", "busy_timeout"),
    "setting": ("0", "1", "2", "3", "+2", "-1", "FULL", "'full'", "\"EXTRA\"", "normal", "ON",
                "off",
                "wal", "'delete'", "t", "10", "0x2", "2.0", "'2'", "[full]", "`wal`", "true",
                "''", "main", "default", "+1", "1e0", "'1'", "yes"),
    "control": ("BEGIN", "BEGIN <mode> TRANSACTION", "BEGIN TRANSACTION <name>", "COMMIT",
                "END TRANSACTION", "ROLLBACK", "ROLLBACK TRANSACTION <name>", "SAVEPOINT <name>",
                "RELEASE <name>", "RELEASE SAVEPOINT <name>", "ROLLBACK TO <name>",
                "ROLLBACK TRANSACTION TO SAVEPOINT <name>", "rollback/**/to/**/<name>", "VACUUM",
                "END", "VACUUM main", "VACUUM INTO 'x'", "VACUUM main INTO <expr>",
                "COMMIT TRANSACTION <name>", "ROLLBACK to savepoint <name>"),
    "mode": ("DEFERRED", "IMMEDIATE", "EXCLUSIVE"),
    "attach": ("ATTACH '' AS <name>", "ATTACH DATABASE '/tmp/x' AS <name>", "ATTACH ? AS n",
               "ATTACH '' || '/tmp/x' AS n", "DETACH <name>", "DETACH DATABASE main",
               "ATTACH \"\" AS n", "ATTACH x'' AS n", "ATTACH '' AS n KEY 'x'",
               "ATTACH <expr> AS n"),
}  # fmt: skip
_SYMBOL = re.compile(r"<([a-z]+)>")
_MOST = 400  # symbols in one sentence


def derive(choices: bytes) -> str:
    """The sentence that `choices` lead to; the first alternative once they are used up."""
    taken = iter(choices)
    pending = ["<start>"]
    words: list[str] = []
    for _ in range(_MOST):
        if not pending:
            break
        part = pending.pop()
        found = _SYMBOL.search(part)
        symbol = found.group(1) if found else ""
        if found is None or symbol not in RULES:
            words.append(part)
            continue
        words.append(part[: found.start()])
        alternatives = RULES[symbol]
        pending.append(part[found.end() :])
        pending.append(alternatives[next(taken, 0) % len(alternatives)])
    return "".join(words)
