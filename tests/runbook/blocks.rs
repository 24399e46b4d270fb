//! The blocks of the runbook, by their number.

use std::sync::LazyLock;

const RUNBOOK: &str = include_str!("../fixtures/runbook/worker_crashes.md");

/// One fenced block.
pub(crate) struct Block {
    /// From 1.
    pub(crate) number: usize,
    /// The heading it stands under, without its number.
    pub(crate) heading: &'static str,
    /// What it is written in.
    pub(crate) language: &'static str,
    /// What stands in it.
    pub(crate) text: &'static str,
}

/// All of them, in order.
pub(crate) static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let mut blocks = Vec::new();
    let mut heading = "";
    let mut open: Option<(usize, &'static str)> = None;
    let mut at = 0;
    for line in RUNBOOK.split_inclusive('\n') {
        let end = at + line.len();
        if let Some(language) = line.trim_end().strip_prefix("```") {
            open = match open {
                None => Some((end, language)),
                Some((start, language)) => {
                    let number = blocks.len() + 1;
                    blocks.push(Block { number, heading, language, text: &RUNBOOK[start..at] });
                    None
                }
            };
        } else if open.is_none() && line.starts_with('#') {
            heading =
                line.trim_start_matches(['#', ' ', '.']).trim_start_matches(|c: char| c.is_ascii_digit());
            heading = heading.trim_start_matches(['.', ' ']).trim_end();
        }
        at = end;
    }
    blocks
});

/// What stands in block `number`.
pub(crate) fn text(number: usize) -> &'static str {
    BLOCKS[number - 1].text
}

#[test]
fn there_are_sixteen() {
    let of = |language: &str| BLOCKS.iter().filter(|block| block.language == language).count();
    assert_eq!((BLOCKS.len(), of("bash"), of("python"), of("yaml")), (16, 7, 8, 1));
    assert_eq!((BLOCKS[0].heading, BLOCKS[0].number), ("Verify Worker Status", 1));
    assert!(text(8).contains("def clean_recovery"));
}
