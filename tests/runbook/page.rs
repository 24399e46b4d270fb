//! `docs/runbook.md` has a row for every block, and its prose.

use crate::blocks::BLOCKS;

const PAGE: &str = include_str!("../../docs/runbook.md");

/// What becomes of a block.
const FATES: [&str; 3] = ["as it is", "through ours", "replaced"];

#[test]
fn every_block_has_its_row() {
    for block in BLOCKS.iter() {
        let begins = format!("| {} | {} | ", block.number, block.heading);
        let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with(&begins)).collect();
        assert_eq!(rows.len(), 1, "one row that begins with `{begins}`");
        let fate = rows[0][begins.len()..].split(" | ").next().unwrap();
        assert!(FATES.contains(&fate), "block {}: `{fate}` is none of {FATES:?}", block.number);
        assert!(rows[0].split(" | ").count() >= 4, "block {}: it says what one sees", block.number);
    }
}

#[test]
fn every_step_of_the_escalation_is_told() {
    for step in ["Automated Recovery", "L1", "L2", "L3"] {
        assert!(PAGE.lines().any(|line| line.starts_with(&format!("| {step} | "))), "{step}");
    }
}
