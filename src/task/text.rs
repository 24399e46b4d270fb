//! Text that somebody else wrote, as it may stand in a message that a person reads on a terminal.

pub use crate::text::escape::is_hidden;

/// `text` with hidden characters written out, and not much longer than `max` bytes.
pub fn shown(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= max {
            out.push('…');
            break;
        }
        if is_hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON with every hidden character in its strings written as `\uXXXX`: the same JSON, safe to print.
pub fn ascii_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.extend(format!("\\u{unit:04x}").chars());
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` as one word of a shell (`bash`, `zsh`, `ksh`), so that a command which names it can be pasted.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~/-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('~') {
        return text.to_owned();
    }
    if text.chars().any(is_hidden) {
        let mut out = String::from("$'");
        for c in text.chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if is_hidden(c) => {
                    let mut bytes = [0; 4];
                    out.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\x{byte:02x}")));
                }
                c => out.push(c),
            }
        }
        return out + "'";
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_written_out_and_what_is_long_is_cut() {
        assert_eq!(shown("plain ä 漢", 80), "plain ä 漢");
        assert_eq!(shown("a\u{1b}[31m\u{202e}b\u{7f}\n", 80), "a\\u{1b}[31m\\u{202e}b\\u{7f}\\n");
        assert_eq!(shown(&"x".repeat(99), 10), format!("{}…", "x".repeat(10)));
    }

    #[test]
    fn json_that_was_made_safe_says_the_same() {
        let hostile = "a\u{202e}b\u{e0001}\u{9b}31m\u{7f}";
        let json = serde_json::to_string(&[hostile]).unwrap();
        let safe = ascii_controls(&json);
        assert!(safe.is_ascii(), "{safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), [hostile]);
    }

    #[test]
    fn a_pasted_command_means_the_file_and_nothing_else() {
        let table = [
            ("x~2.json", "x~2.json"),
            ("$(reboot).json", "'$(reboot).json'"),
            ("it's.json", r"'it'\''s.json'"),
            ("a b;c.json", "'a b;c.json'"),
            ("a\n\u{202e}'.json", r"$'a\x0a\xe2\x80\xae\'.json'"),
        ];
        for (name, word) in table {
            assert_eq!(shell_word(name), word);
        }
    }
}
