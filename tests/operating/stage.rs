//! A host on which a symptom is made and a section of the pages is typed: as it stands there, at `/shared`, in bash.
//!
//! Nothing of a command is changed. Played is `npm` alone, which lays in place what the test says.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::host::Host;
use crate::traces;
use crate::world::{Started, World};
use crate::{SCENES, page};

/// The host, and what is still to be typed.
pub(crate) struct Stage {
    pub(crate) host: Host,
    known: BTreeSet<String>,
    left: RefCell<BTreeSet<String>>,
    scripts: Cell<usize>,
}

/// What a command said, and its status.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// It went well, and each of `words` is in what it printed.
    #[track_caller]
    pub(crate) fn tells(&self, words: &[&str]) -> &Self {
        self.ends(0, words)
    }

    /// It ended with `code`, and each of `words` is in what it printed.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "`{word}` is not said: {self:#?}");
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Stage {
    /// A host for the sections of these headings, on which nobody works yet. `None`, aloud, where none can be had.
    pub(crate) fn set(headings: &[&str]) -> Option<Self> {
        Self::over(World::new(), headings)
    }

    /// The same with a supervisor and its three workers.
    pub(crate) fn at_work(headings: &[&str], flags: &[&str]) -> Option<Self> {
        let mut stage = Self::set(headings)?;
        stage.host.up(flags);
        Some(stage)
    }

    /// The same on the root of `world`.
    pub(crate) fn over(world: World, headings: &[&str]) -> Option<Self> {
        assert!(SCENES.contains(&headings), "{headings:?} stands in the list of scenes");
        let sections: Vec<_> =
            page::sections().into_iter().filter(|it| headings.contains(&it.heading)).collect();
        assert_eq!(sections.len(), headings.len(), "one section each: {headings:?}");
        let known = sections.into_iter().flat_map(|it| it.commands).filter(|it| !page::is_elsewhere(it));
        let known: BTreeSet<String> = known.collect();
        crate::real::program("jq")?;
        let bin = world.program("fake-claude").with_file_name("claude");
        std::os::unix::fs::symlink("fake-claude", bin).unwrap();
        fs::create_dir(world.path().join("desk")).unwrap();
        Some(Self { host: Host::of(world)?, left: RefCell::new(known.clone()), known, scripts: Cell::new(0) })
    }

    pub(crate) fn world(&self) -> &World {
        &self.host.world
    }

    /// Where commands are typed.
    pub(crate) fn desk(&self) -> PathBuf {
        self.world().path().join("desk")
    }

    /// Types what the page has, and waits for its end.
    #[track_caller]
    pub(crate) fn types(&self, command: &str) -> Said {
        self.types_with(command, &[])
    }

    /// The same with more in its environment.
    #[track_caller]
    pub(crate) fn types_with(&self, command: &str, environment: &[(&str, &str)]) -> Said {
        self.takes(command);
        self.says_with(command, environment)
    }

    /// Types what the page does not have.
    pub(crate) fn says(&self, command: &str) -> Said {
        self.says_with(command, &[])
    }

    fn says_with(&self, command: &str, environment: &[(&str, &str)]) -> Said {
        let mut typed = self.host.command("timeout");
        typed.args(["100", "bash"]).arg(self.script(command)).envs(environment.iter().copied());
        let output = typed.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Types what the page has and does not end by itself: until `fact` holds of what it printed, then Ctrl-C.
    #[track_caller]
    pub(crate) fn types_until(&self, command: &str, fact: impl Fn(&str) -> bool) -> String {
        self.takes(command);
        let printed = self.world().path().join("printed");
        let file = fs::File::create(&printed).unwrap();
        let mut typed = self.host.command("bash");
        typed.arg(self.script(command)).process_group(0).stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = typed.spawn().unwrap();
        let said = self.world().until(&format!("`{command}` says what it should"), || {
            let said = fs::read_to_string(&printed).unwrap_or_default();
            (fact(&said) || child.try_wait().unwrap().is_some()).then_some(said)
        });
        assert!(fact(&said), "`{command}` ended: {said}");
        killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).ok();
        self.world().until("it ends", || child.try_wait().unwrap().map(drop));
        said
    }

    /// Types what the page has at a terminal, where `keys` are pressed; what was on the screen.
    pub(crate) fn types_at_a_terminal(&self, command: &str, keys: &str) -> String {
        self.takes(command);
        let line = format!("bash {}", self.script(command).display());
        let mut typed = self.host.command("script");
        typed.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
        typed.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = typed.spawn().unwrap();
        // The terminal is there until the end.
        let mut hands = child.stdin.take().unwrap();
        hands.write_all(keys.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        drop(hands);
        String::from_utf8_lossy(&ended.stdout).into_owned()
    }

    /// Has an agent of marie's type what the page has: what came of it, as its tool saw it.
    pub(crate) fn an_agent_types(&self, command: &str) -> Value {
        self.takes(command);
        let name = format!("by-agent-{}", self.left.borrow().len());
        self.world().submit(
            "marie/pending",
            &name,
            &json!({"prompt": format!("fake: run text={command}; succeed text=done")}),
        );
        self.world().filed("marie/completed", &name);
        traces::said(self.world(), "ran", &name)[0].clone()
    }

    /// A line as a script that is read in bash, at the desk.
    fn script(&self, command: &str) -> PathBuf {
        // Each its own: bash reads on in one that runs.
        self.scripts.set(self.scripts.get() + 1);
        let script = self.world().path().join(format!("typed-{}.sh", self.scripts.get()));
        fs::write(&script, format!("cd {}\n{command}\n", self.desk().display())).unwrap();
        script
    }

    #[track_caller]
    fn takes(&self, command: &str) {
        assert!(
            self.known.contains(command),
            "these sections do not tell to type `{command}`: {:#?}",
            self.known
        );
        self.left.borrow_mut().remove(command);
    }

    /// Everything was typed that the sections tell to type.
    #[track_caller]
    pub(crate) fn done(&self) {
        assert_eq!(
            *self.left.borrow(),
            BTreeSet::new(),
            "what the sections tell to type, and no scene typed"
        );
    }

    /// A task `T` of marie's, whole; what its agent does.
    pub(crate) fn drops(&self, script: &str) {
        self.forgets();
        self.world().submit("marie/pending", "T", &json!({"prompt": format!("fake: {script}")}));
    }

    /// Takes the last `T` away, once it has ended: until then the name is taken, and the next one would be `T~2`.
    pub(crate) fn forgets(&self) {
        self.world().until("the last life of T is over", || self.is_over().then_some(()));
        for place in ["completed", "cancelled"] {
            fs::remove_file(self.world().root().join(format!("tasks/marie/{place}/T.json"))).ok();
        }
    }

    /// Whether every run of `T` that was claimed was filed, and nothing of it is left to talk to.
    fn is_over(&self) -> bool {
        let log = fs::read_to_string(self.world().logs().join("marie.log")).unwrap_or_default();
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut of_t = lines.iter().filter(|line| line["task"] == "T" && line["run_id"].is_string());
        let filed =
            |run: &Value| lines.iter().any(|line| line["run_id"] == *run && line["filed"].is_string());
        of_t.all(|line| filed(&line["run_id"])) && !self.world().root().join("pipes/marie_T.in").exists()
    }

    /// The same, at work: a gate is in front of the rest of what it does.
    pub(crate) fn runs(&self, rest: &str) -> PathBuf {
        let before = traces::said(self.world(), "start", "T").len();
        let gate = traces::gate(self.world(), &before.to_string());
        self.drops(&format!("gate={}; {rest}", gate.display()));
        self.begun(before + 1);
        gate
    }

    /// Waits until the `n`th agent of `T` is at work, all its lives together; its process.
    pub(crate) fn begun(&self, n: usize) -> i32 {
        let starts = || traces::said(self.world(), "start", "T");
        self.world().until("its agent has begun", || (starts().len() == n).then_some(()));
        let agent = traces::pid(&starts()[n - 1]);
        let is_told = |line: &Value| line["pid"] == agent;
        self.world().until("it was told what to do", || {
            traces::said(self.world(), "message", "T").iter().any(is_told).then_some(())
        });
        self.world().active("marie", "T", |task| task["state"] == "RUNNING");
        agent
    }

    /// Starts a watcher of marie's by hand, and waits until it is at work.
    pub(crate) fn starts_marie(&self) -> Started {
        let mut command = self.host.command("watcher");
        command.args(["--worker", "marie", "--log-format", "json"]);
        let marie = self.world().start(&mut command, "by-hand");
        self.world().at_work("marie", &marie);
        marie
    }

    /// Waits until a worker holds for `cause`.
    pub(crate) fn holds(&self, cause: &str) {
        traces::state(self.world(), "marie", |it| it["status"] == "degraded" && it["hold"]["cause"] == cause);
    }
}
