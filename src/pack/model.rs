//! What a pack says, and what that means for a task. Pure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::WorkdirMode;

/// The longest that an acceptance command may take where the pack does not say.
const VERIFY_TIMEOUT: Duration = Duration::from_mins(10);
use crate::config::Allowance;

/// Who is asked before a tool is used; nobody is there, so what would be asked is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Edits in the working directory are accepted.
    AcceptEdits,
    /// The CLI judges each use itself.
    Auto,
    /// Everything is accepted; the CLI refuses it to root.
    BypassPermissions,
    /// What no rule allows is denied without a question.
    DontAsk,
    /// What no rule allows would be asked.
    Manual,
    /// Nothing is changed.
    Plan,
}

impl PermissionMode {
    /// The words of the CLI.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("acceptEdits", Self::AcceptEdits),
        ("auto", Self::Auto),
        ("bypassPermissions", Self::BypassPermissions),
        ("dontAsk", Self::DontAsk),
        ("manual", Self::Manual),
        ("plan", Self::Plan),
    ];

    /// The word of the CLI.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// Whether a task may name a directory to work in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkdirRule {
    /// It may; else it works in a folder of its own.
    #[default]
    Optional,
    /// It must.
    Required,
    /// It may not.
    None,
}

impl WorkdirRule {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 3] =
        [("optional", Self::Optional), ("required", Self::Required), ("none", Self::None)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// How a task goes on whose time was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterTimeout {
    /// With the same session.
    #[default]
    Resume,
    /// With a new one, from the prompt on.
    StartOver,
    /// Not at all.
    Fail,
}

impl AfterTimeout {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 3] =
        [("resume", Self::Resume), ("start-over", Self::StartOver), ("fail", Self::Fail)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What becomes of a task whose turns were used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterMaxTurns {
    /// It failed, E004.
    #[default]
    Fail,
    /// It goes on with the same session and as many turns again, uncharged.
    Continue,
}

impl AfterMaxTurns {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 2] = [("fail", Self::Fail), ("continue", Self::Continue)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// How often it goes on so where the pack does not say.
const CONTINUES: u32 = 3;

/// What an answer is worth in whose course a tool was denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeniedTools {
    /// The task failed, E005.
    #[default]
    Fail,
    /// The answer counts, and what was denied is told.
    Report,
}

impl DeniedTools {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 2] = [("fail", Self::Fail), ("report", Self::Report)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Whatever the agent says last.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

impl OutputKind {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What is to become of a task whose repository has files that are not committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dirty {
    /// It is said, and begun.
    #[default]
    Allow,
    /// It fails, E002.
    Refuse,
}

impl Dirty {
    /// The words of the file.
    pub const WORDS: [(&'static str, Self); 2] = [("allow", Self::Allow), ("refuse", Self::Refuse)];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, it)| *it == value).map_or("", |(word, _)| word)
}

/// How an agent is run. What is `None` is as without a pack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pack {
    /// What it is for.
    pub description: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// What answers where that is busy, in this order.
    pub fallback_model: Option<Vec<String>>,
    /// Who is asked before a tool is used.
    pub permission_mode: Option<PermissionMode>,
    /// The tools, or rules such as `Bash(git *)`, that need no question.
    pub allowed_tools: Option<Vec<String>>,
    /// The tools and rules that are denied, whatever allows them.
    pub disallowed_tools: Option<Vec<String>>,
    /// What is added to the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// What is asked, with the fields of the task in their places.
    pub prompt: Option<String>,
    /// The most wall clock of one attempt, in seconds.
    pub timeout_s: Option<u32>,
    /// The longest silence, in seconds.
    pub idle_timeout_s: Option<u32>,
    /// The most turns of one attempt.
    pub max_turns: Option<u32>,
    /// The most that one task may cost over all its attempts, in US dollars.
    pub max_cost_usd: Option<f64>,
    /// The most that one attempt may print, in bytes.
    pub max_output: Option<u64>,
    /// The most charged failures after which it is tried again.
    pub max_retries: Option<u32>,
    /// The variables that are let through to the agent besides the usual ones, in place of the worker's `--agent-env`.
    pub environment: Option<Vec<String>>,
    /// Whether a task may or must name a directory.
    pub workdir: WorkdirRule,
    /// Where that must lie, within the worker's own roots.
    pub workdir_roots: Option<Vec<PathBuf>>,
    /// How a task goes on whose time was up.
    pub after_timeout: AfterTimeout,
    /// What an answer is worth in whose course a tool was denied.
    pub denied_tools: DeniedTools,
    /// What becomes of a task whose turns were used up.
    pub after_max_turns: AfterMaxTurns,
    /// How often it goes on then.
    pub max_continues: Option<u32>,
    /// The acceptance command, program and arguments: it has the last word on an answer.
    pub verify: Option<Vec<String>>,
    /// The longest that it may take, in seconds.
    pub verify_timeout_s: Option<u32>,
    /// What an answer is.
    pub output: OutputKind,
    /// The JSON Schema that it has to fit, as JSON.
    pub json_schema: Option<String>,
    /// Where tasks work that name no directory.
    pub workdir_path: Option<PathBuf>,
    /// How they work there.
    pub workdir_mode: Option<WorkdirMode>,
    /// What is to become of a task whose repository has files that are not committed.
    pub dirty: Dirty,
    /// The most tokens of one task, over all its attempts.
    pub max_tokens: Option<u64>,
    /// What all its tasks together may use, over all workers.
    #[serde(flatten)]
    pub allowance: Allowance,
    /// The most memory of the agent and all that it starts, in bytes.
    pub max_memory: Option<u64>,
    /// The packs besides itself of which its agents may hand on tasks; `*` for all.
    pub may_hand_to: Option<Vec<String>>,
}

impl Pack {
    /// The wall clock of one attempt; `usual` is what the worker gives who does not say.
    pub fn timeout(&self, wish: Option<u32>, usual: Duration) -> Duration {
        let seconds = |it: u32| Duration::from_secs(it.into());
        narrower(wish, self.timeout_s).map_or(usual, seconds)
    }

    /// The longest silence.
    pub fn idle_timeout(&self, usual: Duration) -> Duration {
        self.idle_timeout_s.map_or(usual, |it| Duration::from_secs(it.into()))
    }

    /// The most turns.
    pub fn turns(&self, wish: Option<u32>) -> Option<u32> {
        narrower(wish, self.max_turns)
    }

    /// How often a task that used up its turns goes on with as many again.
    pub fn continues(&self) -> u32 {
        match self.after_max_turns {
            AfterMaxTurns::Fail => 0,
            AfterMaxTurns::Continue => self.max_continues.unwrap_or(CONTINUES),
        }
    }

    /// The longest that the acceptance command may take.
    pub fn verify_timeout(&self) -> Duration {
        self.verify_timeout_s.map_or(VERIFY_TIMEOUT, |it| Duration::from_secs(it.into()))
    }

    /// Whether it chooses something that a CLI may not know.
    pub const fn chooses(&self) -> bool {
        self.model.is_some()
            || self.fallback_model.is_some()
            || self.permission_mode.is_some()
            || self.json_schema.is_some()
    }

    /// Whether an answer has to be one JSON document.
    pub const fn wants_json(&self) -> bool {
        matches!(self.output, OutputKind::Json) || self.json_schema.is_some()
    }

    /// The most dollars.
    pub fn cost_usd(&self, wish: Option<f64>) -> Option<f64> {
        narrower(wish, self.max_cost_usd)
    }

    /// The most tokens.
    pub fn tokens(&self, wish: Option<u64>) -> Option<u64> {
        narrower(wish, self.max_tokens)
    }
}

/// The lower of what was asked for and what is allowed.
fn narrower<T: PartialOrd>(wish: Option<T>, most: Option<T>) -> Option<T> {
    match (wish, most) {
        (Some(wish), Some(most)) => Some(if wish < most { wish } else { most }),
        (wish, most) => wish.or(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_narrows_a_pack_and_never_widens_it() {
        let usual = Duration::from_mins(30);
        for (most, wish, seconds) in [
            (None, None, 1800),
            (None, Some(5000), 5000),
            (Some(60), None, 60),
            (Some(60), Some(30), 30),
            (Some(60), Some(3600), 60),
            (Some(7200), None, 7200),
        ] {
            let pack = Pack { timeout_s: most, max_turns: most, ..Pack::default() };
            assert_eq!(pack.timeout(wish, usual).as_secs(), seconds, "{most:?} {wish:?}");
            let turns = (most, wish) != (None, None);
            assert_eq!(pack.turns(wish).map(u64::from), turns.then_some(seconds), "{most:?} {wish:?}");
        }
        let pack = Pack { max_cost_usd: Some(1.5), ..Pack::default() };
        assert_eq!(pack.cost_usd(Some(9.0)), Some(1.5));
        assert_eq!(pack.cost_usd(Some(0.5)), Some(0.5));
        assert_eq!(Pack::default().cost_usd(None), None);
        for (after, most, continues) in [
            (AfterMaxTurns::Fail, Some(5), 0),
            (AfterMaxTurns::Continue, None, 3),
            (AfterMaxTurns::Continue, Some(5), 5),
        ] {
            let pack = Pack { after_max_turns: after, max_continues: most, ..Pack::default() };
            assert_eq!(pack.continues(), continues, "{after:?} {most:?}");
        }
    }

    #[test]
    fn a_pack_that_was_written_down_reads_back_as_it_was() {
        let pack = Pack {
            model: Some("sonnet".to_owned()),
            permission_mode: Some(PermissionMode::DontAsk),
            after_timeout: AfterTimeout::StartOver,
            denied_tools: DeniedTools::Report,
            ..Pack::default()
        };
        let text = serde_json::to_string(&pack).unwrap();
        assert!(text.contains(r#""permission_mode":"dontAsk""#) && text.contains("start-over"), "{text}");
        assert_eq!(serde_json::from_str::<Pack>(&text).unwrap(), pack);
        for (word, mode) in PermissionMode::WORDS {
            assert_eq!(serde_json::to_value(mode).unwrap(), word);
        }
    }
}
