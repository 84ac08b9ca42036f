"""Texts, markup and data made to harm."""

from __future__ import annotations

import random


def texts(secret: str) -> dict[str, tuple[str, bytes]]:
    """Return them: name → file name and bytes. secret: path of a file that they try to read."""
    return {**_plain(), **_markdown(), **_markup(secret), **_data()}


def _plain() -> dict[str, tuple[str, bytes]]:
    noise = random.Random(5)
    return {
        "txt-nuls": ("a.txt", b"\0" * 100_000),
        "txt-noise": ("a.txt", noise.randbytes(100_000)),
        "txt-one-line": ("a.txt", b"x" * 10_000_000),
        "txt-blank": ("a.txt", b" \n" * 3_000_000),
        "txt-not-utf8": ("a.txt", b"\xff\xfe\xfa" * 99),
        "txt-overlong": ("a.txt", b"text \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80"),
        "txt-cut-character": ("a.txt", "Öl".encode()[:1]),
        "txt-accents": ("a.txt", ("e" + "\u0301" * 100_000).encode()),
        "txt-directions": ("a.txt", ("\u202e\u2066" * 50_000 + "text").encode()),
        "txt-is-a-program": ("a.txt", b"\x7fELF" + b"\0\1" * 999),
        "txt-is-a-pdf": ("a.txt", b"%PDF-1.7\n%%EOF"),
        "txt-many-newlines": ("a.txt", b"a\r\r\n\n" * 30_000),
    }


def _markdown() -> dict[str, tuple[str, bytes]]:
    found = {
        "quotes-deep": b"> " * 50_000 + b"x",
        "lists-deep": b"\n".join(b"  " * n + b"- x" for n in range(700)),
        "brackets": b"[" * 200_000,
        "links": b"[a](<" * 50_000,
        "ticks": b"`" * 100_000 + b" x " + b"`" * 99_999,
        "stars": b"**a *b " * 50_000,
        "table-wide": b"|" + b"a|" * 20_000 + b"\n|" + b"-|" * 20_000 + b"\n|" + b"b|" * 20_000,
        "definitions": b"".join(b"[l%d]: /x\n" % n for n in range(5_000)),
        "headings": b"# " * 50_000 + b"\n" + b"######### x\n" * 9_999,
        "fence-never-closed": b"`````\n" * 20_001,
        "html-never-closed": b"<div><!-- " * 50_000,
        "front-matter-never-closed": b"---\n" + b"a: b\n" * 20_000,
        "nuls": b"# a\0b\n\0\0",
    }
    return {f"md-{name}": ("a.md", data) for name, data in found.items()}


def _markup(secret: str) -> dict[str, tuple[str, bytes]]:
    entity = f'<!DOCTYPE html [<!ENTITY a SYSTEM "file://{secret}">]><html><body>&a;</body></html>'
    return {
        "html-deep": ("a.html", b"<html><body>" + b"<div>" * 100_000 + b"x"),
        "html-tables-deep": ("a.html", b"<table><tr><td>" * 3_000 + b"x"),
        "html-attribute-giant": ("a.html", b'<html><p a="' + b"x" * 5_000_000 + b'">x</p></html>'),
        "html-comment-never-closed": ("a.html", b"<html><body>x<!--" + b"-" * 1_000_000),
        "html-entity": ("a.html", entity.encode()),
        "html-include": ("a.html", f'<html><body>x<iframe src="file://{secret}"></iframe></body></html>'.encode()),
        "html-references": ("a.html", b"<html><body>" + b"&#x110000;&#0;&#xd800;&amp" * 20_000),
        "html-spans": ("a.html", b'<html><table><tr><td rowspan="99999999" colspan="99999999">x</td></tr></table>'),
        "rtf-groups-deep": ("a.rtf", b"{\\rtf1 " + b"{" * 100_000 + b"x" + b"}" * 100_001),
        "rtf-binary-lies": ("a.rtf", b"{\\rtf1 \\bin2147483647 abc \\u99999999? \\'zz}"),
        "rtf-cut": ("a.rtf", b"{\\rtf1\\ansi {\\fonttbl {\\f0 Times;"),
    }


def _data() -> dict[str, tuple[str, bytes]]:
    return {
        "json-deep": ("a.json", b"[" * 200_000 + b"]" * 200_000),
        "json-objects-deep": ("a.json", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        "json-number-giant": ("a.json", b'{"a": ' + b"9" * 200_000 + b"}"),
        "json-not-numbers": ("a.json", b'{"a": NaN, "b": 1e999999, "c": -Infinity}'),
        "json-keys-twice": ("a.json", b"{" + b'"a": 1, ' * 100_000 + b'"a": 2}'),
        "json-surrogates": ("a.json", b'{"a": "\\ud800 \\u0000 text"}'),
        "jsonl-broken": ("a.jsonl", b'{"a": "one"}\n{"a": \n[[[[\n'),
        "csv-wide": ("a.csv", b"a," * 300_000 + b"\n" + b"b," * 300_000),
        "csv-quote-never-closed": ("a.csv", b'a,b\n1,"' + b"x,\n" * 500_000),
        "csv-nuls": ("a.csv", b"a,b\n\0,\0\n"),
        "csv-formula": ("a.csv", b"a,b\n=cmd|' /C calc'!A0,+1\n"),
        "csv-field-giant": ("a.csv", b"a,b\n" + b"x" * 3_000_000 + b",2\n"),
    }
