//! Reading a pack file: every key and every value is checked, and all that is wrong is told at once, with its place. Pure.

mod reader;
mod schema;
mod values;

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::fault::Fault;
use super::model::{
    AfterMaxTurns, AfterTimeout, DeniedTools, Dirty, OutputKind, Pack, PermissionMode, WorkdirRule,
};
use crate::config::{AGENT_MEMORY_MIN, Allowance, nearest};
use crate::task::WorkdirMode;
use reader::Reader;

/// Every key that may stand in a pack file.
pub(super) const KEYS: &[&str] = &[
    "description",
    "model",
    "fallback_model",
    "permission_mode",
    "allowed_tools",
    "disallowed_tools",
    "system_prompt",
    "prompt",
    "timeout",
    "idle_timeout",
    "max_turns",
    "max_cost_usd",
    "max_output",
    "max_retries",
    "environment",
    "workdir",
    "workdir_roots",
    "after_timeout",
    "denied_tools",
    "after_max_turns",
    "max_continues",
    "verify",
    "verify_timeout",
    "output",
    "json_schema",
    "workdir_path",
    "workdir_mode",
    "dirty",
    "max_tokens",
    "usd_per_hour",
    "usd_per_day",
    "tokens_per_hour",
    "tokens_per_day",
    "max_memory",
    "may_hand_to",
];

const RETRIES_MAX: u32 = 1000;
/// Less output than this is no answer, in bytes.
const OUTPUT_MIN: u64 = 1024;

/// A pack, and the line of each key that its file has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub pack: Pack,
    /// Where it says it.
    pub lines: BTreeMap<&'static str, usize>,
}

/// The pack in `text`; or everything that is wrong with it, in the order of the file.
pub fn parse(text: &str) -> Result<Loaded, Vec<Fault>> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![Fault::at(text, at, format!("no TOML: {}", error.message().trim()), None)]
    })?;
    let mut reader = Reader { text, table: table.get_ref(), faults: Vec::new(), lines: BTreeMap::new() };
    reader.keys();
    let pack = reader.pack();
    let Reader { mut faults, lines, .. } = reader;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    if faults.is_empty() { Ok(Loaded { pack, lines }) } else { Err(faults) }
}

impl Reader<'_> {
    fn keys(&mut self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if let Some(known) = KEYS.iter().find(|it| **it == name) {
                let line = Fault::at(self.text, key.span().start, String::new(), None).line;
                self.lines.insert(known, line);
                continue;
            }
            let hint = nearest(name, KEYS.iter().copied()).map_or_else(
                || format!("there are {}", KEYS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.fault(&key.span(), format!("unknown key `{name}`"), Some(hint));
        }
    }

    fn pack(&mut self) -> Pack {
        Pack {
            description: self.text_of("description", 1000),
            model: self.text_of("model", 256).filter(|_| self.is_model("model")),
            fallback_model: self.models(),
            permission_mode: self.word("permission_mode", &PermissionMode::WORDS),
            allowed_tools: self.tools("allowed_tools"),
            disallowed_tools: self.tools("disallowed_tools"),
            system_prompt: self.text_of("system_prompt", usize::MAX),
            prompt: self.template(),
            timeout_s: self.seconds("timeout"),
            idle_timeout_s: self.seconds("idle_timeout"),
            max_turns: self.count("max_turns", 1, u32::MAX),
            max_cost_usd: self.dollars("max_cost_usd"),
            max_output: self.size("max_output", OUTPUT_MIN),
            max_retries: self.count("max_retries", 0, RETRIES_MAX),
            environment: self.variables(),
            workdir: self.word("workdir", &WorkdirRule::WORDS).unwrap_or_default(),
            workdir_roots: self.roots(),
            after_timeout: self.word("after_timeout", &AfterTimeout::WORDS).unwrap_or_default(),
            denied_tools: self.word("denied_tools", &DeniedTools::WORDS).unwrap_or_default(),
            after_max_turns: self.word("after_max_turns", &AfterMaxTurns::WORDS).unwrap_or_default(),
            max_continues: self.count("max_continues", 0, RETRIES_MAX),
            verify: self.command("verify"),
            verify_timeout_s: self.seconds("verify_timeout"),
            output: self.word("output", &OutputKind::WORDS).unwrap_or_default(),
            json_schema: self.schema(),
            workdir_path: self.directory(),
            workdir_mode: self.word("workdir_mode", &WorkdirMode::WORDS),
            dirty: self.word("dirty", &Dirty::WORDS).unwrap_or_default(),
            max_tokens: self.amount("max_tokens"),
            allowance: Allowance {
                usd_per_hour: self.dollars("usd_per_hour"),
                usd_per_day: self.dollars("usd_per_day"),
                tokens_per_hour: self.amount("tokens_per_hour"),
                tokens_per_day: self.amount("tokens_per_day"),
            },
            max_memory: self.size("max_memory", AGENT_MEMORY_MIN),
            may_hand_to: self.packs("may_hand_to"),
        }
    }
}

#[cfg(test)]
mod tests;
