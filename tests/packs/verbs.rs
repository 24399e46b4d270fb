//! `agentctl packs` and `agentctl pack`: data on stdout, codes, did-you-mean.

use std::fs;

use serde_json::{Value, json};

use crate::out;
use crate::world::World;

fn laid_out() -> World {
    let world = World::new();
    fs::create_dir_all(world.root().join("tasks")).unwrap();
    world.pack("review", "# a pack\nmodel = 'sonnet'\ntimeout = '90s'\ndescription = 'Reviews'\n");
    world.pack("broken", "timeout = 0\nmodle = 'x'\n");
    world
}

#[test]
fn the_list_tells_how_each_is() {
    let world = laid_out();
    world.agentctl(&["pack", "disable", "review", "--reason", "not now"]);
    let (code, said, _) = out(&world.agentctl(&["packs"]));
    assert_eq!(code, Some(0));
    for (name, words) in [
        ("review", &["disabled", "sonnet", "not now"][..]),
        ("broken", &["line 1"]),
        ("default", &["built in"]),
    ] {
        let line = said.lines().find(|it| it.starts_with(name)).unwrap_or_else(|| panic!("{name} in {said}"));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    let (_, said, _) = out(&world.agentctl(&["packs", "--json"]));
    let all: Vec<Value> = serde_json::from_str(&said).unwrap();
    let of = |name: &str| all.iter().find(|it| it["pack"] == name).unwrap();
    assert_eq!(of("review")["disabled"]["reason"], "not now");
    assert_eq!((&of("broken")["state"], &of("broken")["faults"][1]["line"]), (&json!("broken"), &json!(2)));
}

#[test]
fn a_check_tells_every_fault_with_its_place_and_ends_with_65() {
    let world = laid_out();
    let (code, said, _) = out(&world.agentctl(&["packs", "check"]));
    assert_eq!(code, Some(65));
    assert!(said.contains("packs/broken.toml:1:11: `timeout` must be"), "{said}");
    assert!(said.contains("packs/broken.toml:2:1: unknown key `modle`; did you mean `model`?"), "{said}");
    assert!(said.contains("packs/review.toml: good"), "{said}");
    let file = world.path().join("new.toml");
    fs::write(&file, "allowed_tools = ['Raed']\n").unwrap();
    let (code, said, _) = out(&world.agentctl(&["packs", "check", file.to_str().unwrap(), "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said[0]["faults"][0]["hint"]), (Some(65), &json!("did you mean `Read`?")), "{said}");
    fs::write(&file, "allowed_tools = ['Read']\n").unwrap();
    assert_eq!(out(&world.agentctl(&["packs", "check", file.to_str().unwrap()])).0, Some(0));
    let (code, _, said) = out(&world.agentctl(&["packs", "check", "/nonexistent.toml"]));
    assert!(code == Some(69) || code == Some(65) || code == Some(70), "{code:?} {said}");
    assert!(said.contains("/nonexistent.toml"), "{said}");
}

#[test]
fn each_value_is_shown_with_its_source() {
    let world = laid_out();
    let (code, said, _) = out(&world.agentctl(&["packs", "show", "review"]));
    assert_eq!(code, Some(0));
    let line = |key: &str| said.lines().find(|it| it.starts_with(key)).unwrap().to_owned();
    assert!(line("model").contains("sonnet") && line("model").contains("packs/review.toml:2"), "{said}");
    assert!(line("timeout").contains("90s"), "{said}");
    assert!(line("max_output").contains("--max-output"), "{said}");
    let (code, said, _) = out(&world.agentctl(&["packs", "show", "default", "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &said["values"][1]["key"], &said["values"][1]["line"]),
        (Some(0), &json!("model"), &Value::Null)
    );
    let (code, _, said) = out(&world.agentctl(&["packs", "show", "reveiw"]));
    assert!(code == Some(65) && said.contains("did you mean `review`?"), "{said}");
    assert_eq!(out(&world.agentctl(&["packs", "show", "broken"])).0, Some(65));
}

#[test]
fn a_pack_that_is_not_there_is_not_taken_back() {
    let world = laid_out();
    let (code, _, said) = out(&world.agentctl(&["pack", "disable", "reviw"]));
    assert!(code == Some(65) && said.contains("did you mean `review`?"), "{said}");
    let (code, _, said) = out(&world.agentctl(&["pack", "enable", "review"]));
    assert!(code == Some(0) && said.contains("was not disabled"), "{said}");
}
