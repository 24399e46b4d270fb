//! The operator's hand, and what stands in the file that is not ours.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;
use crate::{account, held, limits, up};

fn out(world: &World, args: &[&str]) -> (i32, String, String) {
    let output = world.agentctl(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_is_known_is_shown_and_a_breaker_is_closed_by_hand() {
    let world = World::new();
    let _watchers =
        ["marie", "anga"].map(|worker| up(&world, worker, &[("--api-requests-per-minute", "50")]));
    let (code, shown, talk) = out(&world, &["limits"]);
    assert_eq!((code, shown.as_str()), (0, ""), "{talk}");
    world.submit("marie/pending", "t", &json!({"prompt": "fake: api status=401 | succeed"}));
    held(&world, "anga", "auth");
    let (_, shown, _) = out(&world, &["limits"]);
    assert!(shown.contains("49 of 50 left") || shown.contains("50 of 50 left"), "{shown}");
    assert!(shown.contains("met by marie") && shown.contains("api.anthropic.com"), "{shown}");
    let known: Value = serde_json::from_str(&out(&world, &["limits", "--json"]).1).unwrap();
    let key = known[0]["account"].as_str().unwrap().to_owned();
    assert_eq!(
        (&known[0]["breaker"]["cause"], &known[0]["rate_limit"]),
        (&json!("auth"), &json!(null)),
        "{known}"
    );
    let (code, _, said) = out(&world, &["breaker", "reset", &key[..key.len() - 1]]);
    assert_eq!(code, 65, "{said}");
    assert!(said.contains(&key), "did you mean: {said}");
    let (code, said, _) = out(&world, &["breaker", "reset", &key]);
    assert!(code == 0 && said.contains("the breaker is closed"), "{said}");
    world.filed("marie/completed", "t");
    let (_, shown, _) = out(&world, &["breaker", "status"]);
    assert!(shown.contains(&key) && shown.contains("closed"), "{shown}");
}

#[test]
fn a_torn_foreign_or_future_file_stops_nobody_and_is_said_once() {
    let world = World::new();
    let marie = up(&world, "marie", &[]);
    world.submit("marie/pending", "first", &json!({"prompt": "fake: api status=429 | succeed"}));
    let known = account(&world, "it is known", |it| it["rate_limit"].is_object());
    // A run that still says what it was told would write the file anew, and that is a limit to wait for.
    held(&world, "marie", "rate_limit");
    let file = fs::read_dir(limits(&world)).unwrap().flatten().map(|it| it.path());
    let file = file.filter(|it| it.extension().is_some_and(|it| it == "json")).last().unwrap();
    let mut future = known;
    future["version"] = json!(2);
    let torn = &future.to_string()[..40];
    for (n, broken) in [torn, "null", &future.to_string()].into_iter().enumerate() {
        fs::write(&file, broken).unwrap();
        let name = format!("t{n}");
        world.submit("marie/pending", &name, &json!({"prompt": "fake: succeed"}));
        world.filed("marie/completed", &name);
    }
    let said = crate::sight::logged(&world, "marie", "cannot be understood");
    assert!((1..=3).contains(&said.len()), "{said:?}");
    assert_eq!(marie.stop(), 0);
}
