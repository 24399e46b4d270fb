//! What docs/installing.md tells to type.

use std::fs;

/// The blocks of shell below the heading that begins so, without `sudo`: here everybody is root.
pub(crate) fn typed(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/installing.md")).unwrap();
    let at = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = page[at + 2..].split("\n## ").next().unwrap_or_default();
    let section = section.split("\n### ").next().unwrap_or_default();
    let blocks = section.match_indices("```sh\n").filter_map(|(at, fence)| {
        let block = section[at + fence.len()..].split("```").next()?;
        Some(block.replace("sudo ", ""))
    });
    blocks.collect()
}

/// The only block below that heading.
pub(crate) fn only(heading: &str) -> String {
    let mut blocks = typed(heading);
    assert_eq!(blocks.len(), 1, "{heading}: {blocks:?}");
    blocks.remove(0)
}
