//! Text as it may stand in front of a person.
//!
//! Invariant: what comes out has no control character, C0 or C1, and no mark that changes the order of what stands
//! around it or is not seen at all. The joiners of emoji and of some scripts stay: they steer nothing.

/// `text` without anything that a terminal would act on; line breaks and tabs stay.
pub fn printable(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// Same, on one line.
pub fn one_line(text: &str) -> String {
    escape(text, |_| false)
}

/// Characters that are not seen but change what is: controls, marks that turn the direction of text, tags.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'
                ..='\u{202e}'
        )
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_hidden(c) || keep(c) {
            out.push(c);
        } else if c.is_ascii() {
            out.extend(c.escape_default());
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_agent_writes_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\n\tc\u{202e}"), "a\\u{1b}[2Jb\\r\n\tc\\u{202e}");
        assert_eq!(one_line("a\nb"), "a\\nb");
        assert_eq!(one_line("schön 漢 👩\u{200d}🔧"), "schön 漢 👩\u{200d}🔧");
        let hostile =
            "\u{0}\u{7}\u{8}\u{7f}\u{85}\u{9b}31m\u{9d}0;t\u{9c}\u{200b}\u{200f}\u{2066}\u{feff}\u{e0041}";
        assert!(!one_line(hostile).contains(is_hidden), "{}", one_line(hostile));
    }
}
