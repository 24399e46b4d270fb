//! What must hold right after a cut, before anybody works again, and when everything has come home.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::judge::{self, Accepted};
use crate::life::{Machine, Meant, WORKERS, started};
use crate::world::json;

/// Where a task may rest.
const HOMES: &[&str] = &["marie/completed", "anga/completed"];

/// A task's file, as it is.
enum Text {
    Whole(Value),
    Torn,
}

impl Machine {
    fn text(&self, home: &str, name: &str) -> Text {
        let path = self.world.root().join("tasks").join(home).join(format!("{name}.json"));
        json(&path).filter(|it| it["mine"]["b"] == 1).map_or(Text::Torn, Text::Whole)
    }

    /// Nobody works. What is broken; what has become safe is noted.
    pub(crate) fn after_the_cut(&mut self) -> Vec<String> {
        let mut broken = Vec::new();
        let log = self.world.agent_log();
        let homes: Vec<Vec<String>> = self.meant.iter().map(|it| self.world.homes(it.name)).collect();
        for (it, homes) in self.meant.iter().zip(&homes) {
            let name = it.name;
            // An agent was started: what it works at was safe before.
            let is_safe = it.is_safe || started(&log, name) > 0;
            match &homes[..] {
                [] if is_safe => broken.push(format!("{name} ({:?}) was safe and is lost", it.how)),
                [] => {}
                [home] => broken.extend(self.in_its_place(it, home, is_safe)),
                more => broken.push(format!("{name} is in {more:?}")),
            }
        }
        for (worker, paused) in WORKERS.iter().zip(self.paused) {
            let state = json(&self.world.root().join(format!("workers/{worker}/state.json")));
            let is_paused = state.as_ref().is_some_and(|it| it["wanted"]["mode"] == "pause");
            if paused.is_some_and(|it| it != is_paused) {
                broken.push(format!("{worker} was paused: {paused:?}, and state.json says {state:?}"));
            }
        }
        broken.extend(overlaps(&log));
        broken
    }

    /// What is wrong with the file of a task in the one place where it is.
    fn in_its_place(&self, it: &Meant, home: &str, is_safe: bool) -> Option<String> {
        let name = it.name;
        let is_waiting = home.is_empty() || home.ends_with("/pending");
        let Text::Whole(file) = self.text(home, name) else {
            // Half of a drop that nobody waited for may wait to be found to be no task, or have been found to be none.
            let may_be = !is_safe && (is_waiting || home.ends_with("/failed"));
            return (!may_be).then(|| format!("{name} ({:?}) in {home} is torn", it.how));
        };
        if it.done.is_some() && !home.ends_with("/completed") && file["state"] != "COMPLETED" {
            return Some(format!("{name} was seen in completed/, and now lies in {home}: {file}"));
        }
        let is_filed = home.ends_with("/completed");
        (is_filed && (file["state"] != "COMPLETED" || file["result"] != "done"))
            .then(|| format!("{name} is in completed/ without being so: {file}"))
    }

    /// Everybody goes on in peace. What is broken when all have come home.
    pub(crate) fn comes_home(&mut self) -> Vec<String> {
        self.in_peace(Self::is_settled);
        let mut broken = Vec::new();
        let torn = self.torn();
        let whole = self.meant.iter().filter(|it| !torn.contains(&it.name));
        let accepted: Vec<_> =
            whole.map(|it| Accepted { name: it.name, homes: HOMES, may_be_gone: !it.is_safe }).collect();
        broken.extend(judge::at_rest(&self.world, &accepted));
        // What was cut in the middle of a line stands on one of its own; an answer that nobody had waited for is given again.
        broken.retain(|it| !it.contains(" holds half a line") && !it.contains(" was finished "));
        let log = self.world.agent_log();
        for it in self.meant.iter().filter(|it| torn.contains(&it.name)) {
            if it.is_safe || started(&log, it.name) > 0 {
                broken.push(format!("{} ({:?}) was a task, and is torn", it.name, it.how));
            }
            let reasons = WORKERS.map(|worker| {
                json(&self.world.root().join(format!("tasks/{worker}/failed/{}.json.reason", it.name)))
            });
            if !reasons.iter().flatten().any(|it| it["error_code"] == "E002") {
                broken.push(format!("{} is torn, and nobody is told: {reasons:?}", it.name));
            }
        }
        for it in &self.meant {
            if it.done.is_some_and(|before| started(&log, it.name) > before) {
                broken.push(format!("{} was seen in completed/, and was run again", it.name));
            }
        }
        broken.extend(self.twice_in_a_life(&log));
        broken
    }

    /// Between two cuts nothing ends well twice.
    fn twice_in_a_life(&self, log: &[Value]) -> Vec<String> {
        let mut broken = Vec::new();
        let ends: Vec<usize> = self.cuts.iter().copied().chain([log.len()]).collect();
        let mut from = 0;
        for to in ends {
            let mut well = BTreeMap::<&str, usize>::new();
            for line in log[from..to].iter().filter(|line| line["event"] == "end" && line["code"] == 0) {
                *well.entry(line["task"].as_str().unwrap_or_default()).or_default() += 1;
            }
            let twice = well.into_iter().filter(|(_, times)| *times > 1);
            broken.extend(
                twice.map(|(name, times)| format!("{name} was finished {times} times without a cut")),
            );
            from = to;
        }
        broken
    }

    /// Whether each lies where it may rest, is gone, or is known to be no task.
    fn is_settled(&self) -> bool {
        self.meant.iter().all(|it| {
            let homes = self.world.homes(it.name);
            homes.iter().all(|home| HOMES.contains(&home.as_str()) || home.ends_with("/failed"))
        })
    }

    /// Those that ended as no task.
    fn torn(&self) -> Vec<&'static str> {
        let in_failed = |it: &&Meant| self.world.homes(it.name).iter().any(|home| home.ends_with("/failed"));
        self.meant.iter().filter(in_failed).map(|it| it.name).collect()
    }

    /// How many there were, how many are gone, and how many were torn.
    pub(crate) fn counted(&self) -> (usize, usize, usize) {
        let gone = self.meant.iter().filter(|it| self.world.homes(it.name).is_empty()).count();
        (self.meant.len(), gone, self.torn().len())
    }
}

fn overlaps(log: &[Value]) -> Vec<String> {
    let overlaps = log.iter().filter(|line| line["event"] == "overlap");
    overlaps.map(|line| format!("two agents worked on one conversation: {line}")).collect()
}
