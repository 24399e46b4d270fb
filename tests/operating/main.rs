//! The pages for operators are typed: `docs/operating.md` and what it leads to tell what one sees, what to type and what
//! comes of it; here each symptom is made with the real programs, and every command of each section is run as it stands.
//!
//! What speaks to systemd is typed by `tests/systemd`, what speaks to Docker by `tests/docker`, off the same pages.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod account;
mod checks;
#[path = "../support/faults.rs"]
mod faults;
mod hands;
#[path = "../runbook/host.rs"]
mod host;
mod lives;
mod looks;
mod machine;
mod page;
#[path = "../support/real.rs"]
mod real;
mod stage;
mod tasks;
#[path = "../support/traces.rs"]
mod traces;
#[path = "../support/world.rs"]
mod world;

/// The headings that each scene types.
const SCENES: [&[&str]; 32] = [
    looks::ONE,
    looks::TOP,
    lives::DEAD,
    lives::ASIDE,
    lives::STILL,
    lives::NO_START,
    lives::NO_METRICS,
    lives::NO_SUPERVISOR,
    lives::AWAY,
    account::LOGIN,
    account::CLI,
    account::LIMIT,
    account::OUTAGE,
    account::BUDGET,
    account::PACK,
    machine::DISK,
    machine::MEMORY,
    machine::GROWS,
    machine::FOLDER,
    tasks::MANY_FAIL,
    tasks::FAILED,
    tasks::NO_TASK,
    tasks::WAITS,
    tasks::DEEP,
    tasks::SILENT,
    hands::STOPPED,
    hands::PIPE,
    hands::MAINTENANCE,
    hands::CHANGES,
    hands::STEERS,
    hands::RESUMES,
    checks::ALL,
];

#[test]
fn every_section_that_tells_to_type_something_has_its_scene() {
    let played: Vec<&str> = SCENES.into_iter().flatten().copied().collect();
    let sections = page::sections();
    assert!(sections.len() > 30, "the sections were not found");
    for section in &sections {
        let typed: Vec<_> = section.commands.iter().filter(|it| !page::is_elsewhere(it)).collect();
        let scenes = played.iter().filter(|it| **it == section.heading).count();
        assert_eq!(scenes, usize::from(!typed.is_empty()), "`{}` has one scene: {typed:#?}", section.heading);
    }
}

/// Every symptom says what one sees, what to type, what that says, and what to do, in this order.
#[test]
fn every_symptom_is_told_in_the_same_four_parts() {
    let page = include_str!("../../docs/operating.md");
    let contents = page.split("## From what you see").nth(1).unwrap().split("\n## ").next().unwrap();
    let linked: Vec<&str> = contents.split("](#").skip(1).filter_map(|it| it.split(')').next()).collect();
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let told = page.split("\n## ").skip(2).take_while(|it| !it.starts_with("Changing things"));
    let told: Vec<&str> = told.collect();
    assert!(told.len() > 25, "the symptoms were not found");
    for section in told {
        let heading = section.lines().next().unwrap();
        assert!(linked.contains(&anchor(heading).as_str()), "nothing in the contents leads to `{heading}`");
        if heading == "One look" {
            continue;
        }
        let parts = ["**You see**", "**Type**", "**It says**", "**Do**"];
        let found: Vec<Option<usize>> = parts.iter().map(|part| section.find(part)).collect();
        assert!(
            found.is_sorted() && found.iter().all(Option::is_some),
            "`{heading}`: {parts:?} at {found:?}"
        );
    }
}
