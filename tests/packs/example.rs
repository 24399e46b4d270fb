//! The example that everybody copies is a pack, and says everything that can be said.

use agent_worker::pack;

#[test]
fn the_example_in_the_folder_s_page_is_a_whole_pack() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/shared-layout/packs/README.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (_, rest) = text.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let loaded = pack::parse(example).unwrap_or_else(|faults| panic!("{faults:?}"));
    let silent: Vec<_> = pack::describe(&loaded).into_iter().filter(|it| it.line.is_none()).collect();
    assert!(silent.is_empty(), "the example does not show {silent:?}");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/packs.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for line in pack::describe(&loaded) {
        assert!(docs.contains(&format!("`{}`", line.key)), "docs/packs.md does not tell `{}`", line.key);
    }
}
