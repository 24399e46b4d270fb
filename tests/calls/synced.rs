//! What counts is on the disk before anybody acts upon it: seen in the order of the calls that a program makes.
//!
//! A write that was not waited for, and a name whose folder was not, may be gone after a power cut, or come back as they
//! were. `Owed` follows the calls and knows at each of them which these are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use crate::scene::{Life, PATIENCE, Scene, alone, drop_task, lay_out, nothing};
use crate::syscalls::Call;
use crate::tracer::{Among, Fate, Traced};
use crate::world::World;
use crate::{judge, sweep, verbs, works};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether it lies where tasks rest.
fn is_over(path: &str) -> bool {
    ["/completed/", "/failed/", "/cancelled/"].iter().any(|it| path.contains(it))
}

/// What a power cut could take.
#[derive(Default)]
struct Owed {
    /// Files whose data were not waited for.
    data: BTreeSet<String>,
    /// Names that were given or taken, by folder, since the folder was waited for.
    names: BTreeMap<String, BTreeSet<String>>,
    /// The journals that there are, where there was none when it began.
    journals: Option<BTreeSet<String>>,
}

impl Owed {
    fn named(&mut self, path: &str) {
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.names.entry(dir.to_owned()).or_default().insert(path.to_owned());
        }
    }

    /// Whether it is a journal that is met for the first time.
    fn meets(&mut self, path: &str) -> bool {
        tells(path) && self.journals.as_mut().is_some_and(|known| known.insert(path.to_owned()))
    }

    /// What the disk knows after this call.
    fn take(&mut self, call: &Call) {
        let what = call.what.as_str();
        match call.name {
            "write" | "pwrite64" | "writev" | "ftruncate" => drop(self.data.insert(what.to_owned())),
            "fsync" | "fdatasync" => {
                self.data.remove(what);
                self.names.remove(what);
            }
            "mkdir" | "mkdirat" => self.named(what),
            // Another may write what it makes: git writes the patch.
            "open" | "openat" | "openat2" if call.makes_anew() => {
                self.data.insert(what.to_owned());
                self.named(what);
            }
            "open" | "openat" | "openat2" if call.creates() && self.meets(what) => self.named(what),
            "unlink" | "unlinkat" | "rmdir" => {
                self.data.remove(what);
                // What is over and comes back is pruned again.
                if !is_over(what) {
                    self.named(what);
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let Some((from, to)) = what.split_once(" -> ") else { return };
                self.data.remove(to);
                if self.data.remove(from) {
                    self.data.insert(to.to_owned());
                }
                let is_taken_away = to.rsplit('/').next().is_some_and(|it| it.starts_with('.'));
                if !(is_taken_away && is_over(from)) {
                    self.named(from);
                }
                self.named(to);
            }
            _ => {}
        }
    }

    /// The data of it that are such.
    fn data(&self, is: impl Fn(&str) -> bool) -> Vec<String> {
        self.data.iter().filter(|it| is(it)).map(|it| format!("what is in {it}")).collect()
    }

    /// What of it is such.
    fn of(&self, is: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self.names.values().flatten().filter(|it| is(it)).map(|it| format!("the name {it}"));
        self.data(&is).into_iter().chain(names).collect()
    }
}

/// Whether somebody acts upon it: not what is hidden, nor what an agent writes itself.
fn counts(path: &str) -> bool {
    let is_hidden = path.split('/').any(|it| it.starts_with('.'));
    let is_paper = |name: &str| {
        ["input.json", "result.json", "output.txt", "changes.json", "changes.patch"]
            .iter()
            .any(|it| name.ends_with(it))
    };
    !is_hidden
        && (path.contains("/tasks/") && path.as_bytes().ends_with(b".json")
            || path.contains("/packs/")
            || is_paper(path))
}

fn tells(path: &str) -> bool {
    path.ends_with(".ndjson") && (path.contains("/journal/") || path.ends_with("/history.ndjson"))
}

/// What could be lost, and at which call.
#[expect(clippy::fn_params_excessive_bools, reason = "one question: was the folder there before")]
fn lost(calls: &[Call], is_new: bool) -> Vec<String> {
    let mut owed = Owed { journals: is_new.then(BTreeSet::new), ..Owed::default() };
    let mut lost = Vec::new();
    let mut say =
        |when: String, owes: Vec<String>| lost.extend(owes.iter().map(|it| format!("{when}: {it}")));
    for call in calls {
        let what = call.what.as_str();
        if call.name == "execve" && !call.is_main && what.contains("claude") {
            say(format!("when {what} is started"), owed.of(counts));
        }
        if let Some((from, to)) = what.split_once(" -> ").filter(|_| call.name.starts_with("rename")) {
            if counts(to) && !to.ends_with("/input.json") {
                say(format!("when it gets its name {to}"), owed.data(|it| it == from));
            }
            if from.contains("/active/") && !to.contains("/active/") && counts(from) {
                say(format!("when it leaves for {to}"), owed.of(|it| it == from || tells(it)));
            }
        }
        owed.take(call);
    }
    say("at the end".to_owned(), owed.of(counts));
    lost
}

fn whole(scene: &Scene) -> Vec<String> {
    let calls = sweep::quiet(scene, &(Arc::new(Call::changes) as Among));
    let is_new = scene.at == "a task to its end";
    lost(&calls, is_new).into_iter().map(|it| format!("{}: {it}", scene.name())).collect()
}

fn all(scenes: &[Scene]) {
    let lost: Vec<String> = std::thread::scope(|scope| {
        let plays: Vec<_> = scenes.iter().map(|it| scope.spawn(|| whole(it))).collect();
        plays.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    assert!(lost.is_empty(), "a power cut could take:\n{}", lost.join("\n"));
}

#[test]
fn what_a_worker_does_is_on_the_disk_before_it_goes_on() {
    all(works::SCENES);
}

/// Its paper is written by another hand than those of the queue.
#[test]
fn what_a_run_changed_is_on_the_disk_before_its_task_is_filed() {
    let scene = Scene {
        program: "watcher",
        at: "a task in a repository",
        life: Life::Works,
        lay: |world| {
            lay_out(world);
            let repo = world.path().join("repo");
            let made =
                Command::new("git").args(["init", "-q"]).arg(&repo).env_clear().env("PATH", PATH).status();
            assert!(made.unwrap().success());
            let task = judge::task("fake: write file=n text=1; succeed text=done");
            let workdir = format!("{{\"workdir\":\"{}\",", repo.display());
            drop_task(world, "marie/pending", "t", &task.replacen('{', &workdir, 1));
        },
        command: |world| {
            let mut command = world.watcher("marie");
            command.arg("--workdir-root").arg(world.path().join("repo"));
            command
        },
        beside: alone,
        accepted: works::DONE,
        next: nothing,
    };
    let calls = sweep::quiet(&scene, &(Arc::new(Call::changes) as Among));
    assert!(calls.iter().any(|call| call.what.ends_with("/changes.patch")), "it has changed something");
    let lost = lost(&calls, false);
    assert!(lost.is_empty(), "a power cut could take:\n{}", lost.join("\n"));
}

#[test]
fn what_was_repaired_by_removing_it_does_not_come_back() {
    let world = World::new();
    lay_out(&world);
    std::fs::write(world.root().join("tasks/marie/failed/gone.json.reason"), "{}").unwrap();
    let fsck = verbs::agentctl(&world, &["fsck", "--repair"]);
    let traced = Traced::start(&world, &fsck, "fsck", Arc::new(Call::changes), Fate::Watch);
    assert!(traced.ended(PATIENCE).is_some());
    let calls = traced.calls();
    let is_removal = |it: &Call| it.name.starts_with("unlink") && it.what.ends_with("/gone.json.reason");
    let removed = calls.iter().position(is_removal).expect("it is removed");
    let waits = |it: &Call| it.name == "fsync" && it.what.ends_with("/marie/failed");
    assert!(calls[removed..].iter().any(waits), "a power cut could bring it back");
}

#[test]
fn what_an_operator_does_is_on_the_disk_at_its_end() {
    all(verbs::SCENES);
}

/// A task that a living watcher keeps waiting is edited: the new text takes the place of the old one.
#[test]
fn a_text_that_was_edited_is_on_the_disk_when_its_editor_ends() {
    let world = World::new();
    let watcher = world.up("marie");
    assert!(verbs::agentctl(&world, &["pause", "marie"]).output().unwrap().status.success());
    drop_task(&world, "marie/pending", "t", &judge::task("fake: succeed text=done"));
    let mut edit = verbs::agentctl(&world, &["edit", "t"]);
    edit.env("EDITOR", "sed -i s/done/edited/");
    let traced = Traced::start(&world, &edit, "edit", Arc::new(Call::changes), Fate::Watch);
    assert_eq!(traced.ended(PATIENCE), Some(0), "{}", world.said());
    let calls = traced.calls();
    let text = std::fs::read_to_string(world.root().join("tasks/marie/pending/t.json")).unwrap();
    assert!(text.contains("edited"), "{text}");
    let lost = lost(&calls, false);
    assert!(lost.is_empty(), "a power cut could take:\n{}", lost.join("\n"));
    assert_eq!(watcher.stop(), 0);
}
