//! Contents that are no task, by the hundred: what is dropped, its code, and what its reason must say.

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What it is one of many of.
    pub(crate) family: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: &'static str,
    /// Any of these stands in its reason.
    pub(crate) says: &'static [&'static str],
    /// More bytes could mend it, so that it has some seconds to settle.
    pub(crate) settles: bool,
}

/// All of them.
pub(crate) fn all() -> Vec<Row> {
    let families = [halves, bytes, other_formats, dialects, types, numbers, dates, doubled, names, folders];
    families.iter().flat_map(|family| family()).chain(deep()).chain(sizes()).collect()
}

const REST: &[&str] = &["the rest is missing"];
const NOT_JSON: &[&str] = &[
    "not JSON",
    "the rest is missing",
    "more text follows the task",
    "broken \\u escape",
    "number out of range",
];
const NOT_UTF8: &[&str] = &["is not UTF-8", "UTF-16"];

fn row(family: &'static str, n: usize, bytes: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Row {
    let settles = [REST, NOT_JSON, NOT_UTF8].contains(&says) || family == "size";
    Row { family, name: format!("{family}-{n}"), bytes: bytes.into(), code: "E002", says, settles }
}

fn rows<T: Into<Vec<u8>>>(
    family: &'static str,
    all: impl IntoIterator<Item = T>,
    says: &'static [&'static str],
) -> Vec<Row> {
    all.into_iter().enumerate().map(|(n, bytes)| row(family, n, bytes, says)).collect()
}

/// A task with one more field as it is written.
fn with(fields: &str) -> String {
    format!("{{\"prompt\":\"fake: succeed\",{fields}}}")
}

/// A copy that is cut off, at every second byte.
fn halves() -> Vec<Row> {
    let whole = r#"{"prompt":"sag \"hallo\" \u00e4","input":{"a":[1,-2.5e3,true,null]},"priority":7}"#;
    rows("half", (1..whole.len()).step_by(2).map(|n| &whole[..n]), REST)
}

/// Bytes that no text has: control characters in a string, and what is no UTF-8.
fn bytes() -> Vec<Row> {
    let within = |bytes: &[u8]| [&b"{\"prompt\":\"a"[..], bytes, b"b\"}"].concat();
    let controls = rows("control", (0..0x20_u8).map(|byte| within(&[byte])), NOT_JSON);
    #[rustfmt::skip]
    let broken: [&[u8]; 14] = [
        b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc3", b"\xe0\x80\xaf", b"\xe2\x82", b"\xed\xa0\x80",
        b"\xed\xbf\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff",
    ];
    [controls, rows("utf8", broken.map(within), NOT_UTF8)].concat()
}

/// A task in another encoding, or what is none in any.
fn other_formats() -> Vec<Row> {
    let text = r#"{"prompt":"fake: succeed"}"#;
    let wide = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
        [mark, &text.encode_utf16().flat_map(unit).collect::<Vec<_>>()].concat()
    };
    let wider =
        |unit: fn(u32) -> [u8; 4]| text.chars().flat_map(|it| unit(u32::from(it))).collect::<Vec<_>>();
    let encodings = [
        wide(b"\xff\xfe", u16::to_le_bytes),
        wide(b"\xfe\xff", u16::to_be_bytes),
        wide(b"", u16::to_le_bytes),
        wide(b"", u16::to_be_bytes),
        wider(u32::to_le_bytes),
        wider(u32::to_be_bytes),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
        b"{\"prompt\":\"caf\xe9\"}".to_vec(),
        b"\xa7{\x97\xf2\x94\x97\xa3".to_vec(),
    ];
    let marked = row("bom", 0, [b"\xef\xbb\xbf", text.as_bytes()].concat(), &["byte order mark"]);
    let files: [&[u8]; 14] = [
        b"\x7fELF\x02\x01\x01\0\0\0",
        b"PK\x03\x04\x14\0\0\0",
        b"%PDF-1.7\n",
        b"#!/bin/sh\nrm -rf /\n",
        b"<?xml version=\"1.0\"?><prompt>x</prompt>",
        b"<!DOCTYPE html>",
        b"prompt: say hello\n",
        b"prompt = \"say hello\"\n",
        b"# Task\n\nsay hello\n",
        b"prompt;input\nx;y\n",
        b"say hello\n",
        b"diff --git a/x b/x\n",
        b"+ADw-prompt+AD4-",
        b"version https://git-lfs.github.com/spec/v1\n",
    ];
    let settling = |it: Row| Row { settles: true, ..it };
    [rows("encoding", encodings, NOT_UTF8), rows("file", files, NOT_JSON), vec![settling(marked)]].concat()
}

/// What is nearly JSON.
fn dialects() -> Vec<Row> {
    #[rustfmt::skip]
    let nearly = [
        "{'prompt':'x'}", "{prompt:\"x\"}", "{\"prompt\":\"x\",}", "{\"prompt\":\"x\"} // done", "/* say */ {\"prompt\":\"x\"}",
        "{\"prompt\":\"x\" # c\n}", "{\"prompt\":NaN}", "{\"prompt\":Infinity}", "{\"prompt\":-Infinity}", "{\"prompt\":undefined}",
        "{\"prompt\":\"x\",\"priority\":+1}", "{\"prompt\":\"x\",\"priority\":01}", "{\"prompt\":\"x\",\"priority\":0x1}",
        "{\"prompt\":\"x\",\"priority\":1.}", "{\"prompt\":\"x\",\"priority\":.5}", "{\"prompt\":\"x\",\"priority\":1e}",
        "{\"prompt\":\"x\",\"priority\":--1}", "{\"prompt\":\"x\",\"priority\":1_000}", "{\"prompt\":\"x\",\"max_cost_usd\":1,5}",
        "{\"prompt\":\"x\",\"held\":True}", "{\"prompt\":\"x\",\"held\":None}", "{\"prompt\":\"x\",\"held\":TRUE}", "{\"prompt\":\"x\";}",
        "{\"prompt\"=\"x\"}", "{\"prompt\"=>\"x\"}", "{\"prompt\":\"x\"}}", "{\"prompt\":\"x\"},", "{\"prompt\":\"x\"}{\"prompt\":\"y\"}",
        "{\"prompt\":\"x\"}\n\n{\"prompt\":\"y\"}\n", "{\"prompt\":\"\\x41\"}", "{\"prompt\":\"\\u12\"}", "{\"prompt\":\"\\ud83d\"}",
        "{\"prompt\":\"\\ude00\\ud83d\"}", "{\"prompt\":\"\\'\"}", "{\"prompt\":\"\\", "{\"prompt\":\"x\" \"id\":\"y\"}", "{\"prompt\":\"x\",,\"id\":\"y\"}",
        "{,}", "{\"prompt\"}", "{\"prompt\":}", "{:\"x\"}", "{1:\"x\"}", "{null:1}", "{{}}", "[}", "{]", "}", "]", ":", ",", "{\"prompt\":\"x\"",
        "({\"prompt\":\"x\"})", "callback({\"prompt\":\"x\"})", "{\"prompt\":`x`}", "{\"prompt\":\"\"\"x\"\"\"}", "{\"prompt\":\u{201c}x\u{201d}}",
        "\u{a0}{\"prompt\":\"x\"}", "\u{2028}{\"prompt\":\"x\"}", "{\"prompt\":\"x\"\u{200b}}", "{\"prompt\":\"x\",\"x\":1e400}", "nul", "tru",
    ];
    rows("dialect", nearly, NOT_JSON)
}

/// Each field with values of other kinds, and documents that are no object.
fn types() -> Vec<Row> {
    let mut all = Vec::new();
    let mut add = |field: &str, says: &'static [&'static str], values: &[&str]| {
        for value in values {
            let n = all.len();
            let text = if field == "prompt" {
                format!("{{\"prompt\":{value}}}")
            } else {
                with(&format!("\n\"{field}\":{value}"))
            };
            all.push(row("type", n, text, says));
        }
    };
    let no_text = ["7", "-1.5", "true", "[]", "[\"x\"]", "{}", "{\"x\":1}"];
    let no_number = ["\"7\"", "1.5", "false", "[]", "[1]", "{}"];
    add("prompt", &["`prompt`"], &no_text);
    add("id", &["`id`"], &no_text);
    add("type", &["`type`"], &no_text);
    add("worker", &["`worker`"], &no_text);
    add("not_before", &["`not_before`"], &no_text);
    add("workdir", &["`workdir`"], &no_text);
    add("workdir_mode", &["`workdir_mode`"], &no_text);
    add("correlation_id", &["`correlation_id`"], &no_text);
    add("priority", &["`priority`"], &no_number);
    add("timeout_s", &["`timeout_s`"], &no_number);
    add("max_retries", &["`max_retries`"], &no_number);
    add("max_turns", &["`max_turns`"], &no_number);
    add("max_tokens", &["`max_tokens`"], &no_number);
    add("max_cost_usd", &["`max_cost_usd`"], &["\"1\"", "true", "[]", "{}"]);
    add("held", &["`held`"], &["1", "\"yes\"", "[]", "{\"since\":\"soon\"}", "{\"reason\":1}"]);
    let roots = ["null", "true", "42", "-0.5", "\"say hello\"", "[]", "[{\"prompt\":\"x\"}]", "[[[]]]"];
    [all, rows("root", roots, &["not a JSON object"])].concat()
}

/// Numbers that no task can mean.
fn numbers() -> Vec<Row> {
    let table: [(&str, &[&str], &'static [&'static str]); 7] = [
        (
            "priority",
            &["2147483648", "-2147483649", "1e30", "1e-3", "123456789012345678901234567890"],
            &["`priority`"],
        ),
        ("timeout_s", &["0", "-1", "4294967296", "1e10", "-0.0"], &["`timeout_s`"]),
        ("max_retries", &["1001", "-1", "4294967296", "1e3"], &["`max_retries`"]),
        ("max_turns", &["0", "-1", "4294967296", "99999999999999999999"], &["`max_turns`"]),
        ("max_tokens", &["0", "-1", "18446744073709551616", "1e300"], &["`max_tokens`"]),
        ("max_cost_usd", &["0", "-0.0", "-3", "-1e308"], &["`max_cost_usd`"]),
        ("input", &["\"\\u0000\"", "{\"\\u0000\":1}", "[[\"\\u0000\"]]"], &["holds a NUL"]),
    ];
    let values = table.into_iter().flat_map(|(field, values, says)| {
        values.iter().map(move |value| (with(&format!("\"{field}\":{value}")), says))
    });
    values.enumerate().map(|(n, (text, says))| row("number", n, text, says)).collect()
}

/// What is no moment, or one that no clock shows.
fn dates() -> Vec<Row> {
    #[rustfmt::skip]
    let moments = [
        "", " ", "now", "tomorrow", "in 5 minutes", "1764225600", "2026-11-23", "06:00", "2026-11-23T06:00:00", "2026-11-23T06:00:00 PM",
        "2026-11-23T6:00:00Z", "23.11.2026 06:00", "11/23/2026", "2026/11/23T06:00:00Z", "T06:00:00Z", "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-31T00:00:00Z", "2025-02-29T00:00:00Z", "2026-11-23T24:00:00Z",
        "2026-11-23T06:60:00Z", "2026-11-23T06:00:61Z", "2026-11-23T06:00:00+99:00", "2026-11-23T06:00:00.1234567890Z",
        "2026-11-23T06:00:00X", "9999-12-31T23:59:59Z", "99999-01-01T00:00:00Z", "0x7ea", "2026-W48-1", "Mon, 23 Nov 2026 06:00:00 GMT",
        "\\u0000", "2026-11-23T06:00:00Z; rm -rf /",
    ];
    rows("date", moments.map(|it| with(&format!("\"not_before\":\"{it}\""))), &["`not_before`"])
}

/// Keys that come twice: two readers would take two tasks for one.
fn doubled() -> Vec<Row> {
    #[rustfmt::skip]
    let fields = [
        "id", "type", "input", "worker", "priority", "timeout_s", "max_retries", "not_before", "workdir", "correlation_id",
        "max_cost_usd", "max_turns", "max_tokens", "held", "workdir_mode", "run_id", "attempts", "state", "mine", "",
    ];
    let twice = fields.map(|field| with(&format!("\"{field}\":null,\"{field}\":null")));
    let inside = [
        "\"prompt\":\"y\"",
        "\"\\u0070rompt\":\"y\"",
        "\"input\":{\"a\":1,\"a\":1}",
        "\"input\":[{\"a\":1,\"b\":{\"c\":1,\"c\":2}}]",
        "\"mine\":{\"\":0,\"\":0}",
        "\"mine\":[[[{\"x\":1,\"\\u0078\":1}]]]",
        "\"held\":{\"reason\":\"a\",\"reason\":\"b\"}",
    ];
    rows("twice", twice.into_iter().chain(inside.map(with)), &["comes twice"])
}

/// Names that are paths, options, commands, or cannot be seen.
fn names() -> Vec<Row> {
    let long = "n".repeat(129);
    #[rustfmt::skip]
    let ids = [
        "", " ", ".", "..", "...", "/", "/etc/passwd", "a/b", "../x", "-", "-rf", "--help", ".hidden", "a b", "a\\tb", "a\\nb",
        "a\\u0000b", "\u{e9}", "\u{65e5}\u{672c}", "a\u{202e}b", "a\u{200b}b", "\\u001b[31m", "x;y", "$(reboot)", "`id`", "a'b", "a\\\"b",
        "a*", "?", "a|b", "a>b", "a&b", "~x", "_x", "a:b", "a\\\\b", "%00", long.as_str(),
    ];
    let wide = "w".repeat(300);
    let workers =
        ["", ".", "..", "../anga", "a/b", "a b", "-w", "\u{202e}", "\\u0000", "$(id)", wide.as_str()];
    let ids = ids.map(|it| with(&format!("\"id\":\"{it}\"")));
    let workers = workers.map(|it| with(&format!("\"worker\":\"{it}\"")));
    let long = ["\\u0000", "a\\u0007", "\u{202e}", &"c".repeat(257)]
        .map(|it| with(&format!("\"correlation_id\":\"{it}\"")));
    [
        rows("id", ids, &["is not a task's name", "`id`"]),
        rows("worker", workers, &["`worker`"]),
        rows("correlation", long, &["`correlation_id`"]),
    ]
    .concat()
}

/// Working directories that are none, and ways to work that there are not.
fn folders() -> Vec<Row> {
    let dirs = [
        "",
        " ",
        "src",
        "./x",
        "../x",
        "~",
        "~/x",
        "$HOME",
        "file:///srv",
        "C:\\\\x",
        "a\\u0000b",
        "\u{202e}/x",
    ];
    let modes = ["", "DIR", "dirs", "tree", "worktree ", "../dir", "\\u0000"];
    [
        rows("workdir", dirs.map(|it| with(&format!("\"workdir\":\"{it}\""))), &["`workdir`"]),
        rows("mode", modes.map(|it| with(&format!("\"workdir_mode\":\"{it}\""))), &["`workdir_mode`"]),
    ]
    .concat()
}

/// What is nested deeper, or has more fields, than anybody reads.
fn deep() -> Vec<Row> {
    let mut all = Vec::new();
    for depth in [101, 128, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"x\":", "}"), ("[{\"x\":", "}]")] {
            for field in ["input", "mine"] {
                let text = with(&format!("\"{field}\":{}1{}", open.repeat(depth), close.repeat(depth)));
                all.push(row("deep", all.len(), text, &["nested deeper than 100 levels"]));
            }
        }
    }
    for fields in [1_000, 50_000] {
        let many: Vec<_> = (0..fields).map(|n| format!("\"f{n}\":{n}")).collect();
        all.push(row("wide", fields, with(&many.join(",")), &["more than 1000 fields"]));
    }
    all
}

/// Nothing, one byte, and more than is read.
fn sizes() -> Vec<Row> {
    const ANY: &[&str] = &[
        "the file is empty",
        "not JSON",
        "the rest is missing",
        "is not UTF-8",
        "byte order mark",
        "UTF-16",
    ];
    let small: [&[u8]; 16] = [
        b"",
        b" ",
        b"\n",
        b"\t",
        b"\r\n",
        b"\0",
        b"{",
        b"[",
        b"\"",
        b"-",
        b"x",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\0\0",
        b"\xff\xfe",
        b"    \n\n\n    ",
    ];
    let mut all = rows("size", small, ANY);
    let tall = |bytes: usize| format!("{{\"prompt\":\"{}\"}}", "x".repeat(bytes));
    let mut large = row("large", 0, tall(10 << 20), &["larger than 10 MiB"]);
    large.settles = false;
    all.push(large);
    let mut long = row("long", 0, tall(10_000_001), &["prompt too long"]);
    long.code = "E004";
    all.push(long);
    for blank in ["", " ", "\\n\\t", "\u{a0}"] {
        all.push(row("blank", all.len(), format!("{{\"prompt\":\"{blank}\"}}"), &["`prompt` is empty"]));
    }
    for none in [
        "{}",
        "{\"prompt\":null}",
        "{\"id\":\"x\"}",
        "{\"Prompt\":\"x\"}",
        "{\"prompt \":\"x\"}",
        "{\"PROMPT\":\"x\"}",
    ] {
        all.push(row("nothing", all.len(), none, &["neither `prompt` nor `input` is given"]));
    }
    all
}
