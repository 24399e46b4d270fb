//! A healthy tree under work.

use serde_json::json;

use super::fsck;
use super::world::World;

const TASKS: usize = 50;

#[test]
fn a_healthy_tree_that_is_being_worked_on_is_never_accused() {
    let world = World::new();
    let watcher = world.up("marie");
    for n in 0..TASKS {
        let place = if n % 3 == 0 { "" } else { "marie/pending" };
        // Every fifth one fails, so that reasons are written as well.
        let kind = if n % 5 == 0 { "no-such-pack" } else { "default" };
        world.submit(place, &format!("t{n}"), &json!({"prompt": "say hello", "type": kind}));
    }
    let filed = || {
        let count = |place| {
            let dir = world.root().join("tasks/marie").join(place);
            let names = std::fs::read_dir(dir).unwrap().flatten().map(|it| it.file_name());
            names.filter(|it| it.to_string_lossy().ends_with(".json")).count()
        };
        count("completed") + count("failed")
    };
    let mut looks = 0;
    world.until("all tasks have ended", || {
        let said = fsck(&world, &[]);
        assert_eq!(said.code, 0, "{:#}\n{}", said.json, world.said());
        looks += 1;
        (filed() == TASKS).then_some(())
    });
    assert!(looks > 1, "it was looked at while it worked");
    let said = fsck(&world, &[]);
    assert_eq!((said.code, said.found()), (0, vec![]), "{:#}", said.json);
    assert_eq!(watcher.stop(), 0);
    let said = fsck(&world, &[]);
    assert_eq!((said.code, said.found()), (0, vec![]), "{:#}", said.json);
}
