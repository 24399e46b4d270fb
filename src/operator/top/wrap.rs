//! Lines as they fall on a screen of some width. Pure.

use unicode_width::UnicodeWidthChar;

use super::super::report::Tone;
use super::super::stream_view::Shown;

/// One row of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its text.
    pub(super) text: String,
    /// How loud it is.
    pub(super) tone: Tone,
}

/// The rows that `lines` take at `width` columns: broken at line breaks, and where a row is full.
pub(super) fn rows(lines: &[Shown], width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for shown in lines {
        for line in shown.text.split('\n') {
            let broken = broken(&line.replace('\t', "    "), width.max(1));
            rows.extend(broken.into_iter().map(|text| Row { text, tone: shown.tone }));
        }
    }
    rows
}

/// A line in rows: between words where there is one to break at, else where the row is full.
fn broken(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut taken = 0;
    for word in line.split_inclusive(' ') {
        let wide = wide(word.trim_end());
        if taken > 0 && taken + wide > width {
            rows.push(String::new());
            taken = 0;
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or(0);
            if taken + wide > width {
                // The blank after the last word of a row stands for the break.
                if letter == ' ' {
                    continue;
                }
                rows.push(String::new());
                taken = 0;
            }
            taken += wide;
            rows.last_mut().into_iter().for_each(|row| row.push(letter));
        }
    }
    rows
}

fn wide(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_words_and_no_row_is_wider_than_the_screen() {
        for (line, width, expected) in [
            ("one two three", 7, &["one two", "three"][..]),
            ("one two", 80, &["one two"]),
            ("abcdefgh", 3, &["abc", "def", "gh"]),
            ("a abcdef", 4, &["a ", "abcd", "ef"]),
            ("漢字漢字", 5, &["漢字", "漢字"]),
            ("", 5, &[""]),
            ("x", 0, &["x"]),
        ] {
            let shown = Shown { text: line.to_owned(), tone: Tone::Plain };
            let texts: Vec<String> = rows(&[shown], width).into_iter().map(|row| row.text).collect();
            assert_eq!(texts, expected, "{line:?} at {width}");
        }
    }

    #[test]
    fn a_text_of_several_lines_keeps_its_breaks() {
        let shown = Shown { text: "a\n\tb".to_owned(), tone: Tone::Good };
        let texts: Vec<String> = rows(&[shown], 20).into_iter().map(|row| row.text).collect();
        assert_eq!(texts, ["a", "    b"]);
    }
}
