//! What the task's pack means for its run.
//!
//! The pack is taken once, before the agent is started, and written down beside its stream; from then on the run goes by
//! what was taken, also when another watcher takes it up.

use std::path::PathBuf;
use std::time::Duration;

use super::Run;
use super::prepare::{Refused, no_room, refuse};
use super::workdir::{Workdir, allowed};
use crate::agent::argv::Manner;
use crate::agent::course::Limits;
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::verdict::{Denied, EndedBy, Judgement, Verdict};
use crate::os::durable::{DIR_MODE, make_dir};
use crate::pack::{AfterTimeout, Bar, DeniedTools, Found, PermissionMode, Site, Stamp, What, site};
use crate::task::text::shown;
use crate::task::{AttemptOutcome, ErrorCode, HoldCause, Requeue, Usage, WorkdirMode};

/// Between a claim that met a pack that just became unusable and the next one.
const AGAIN: Duration = Duration::from_secs(3);

impl Run {
    /// Takes the pack that the task names; or what becomes of the task where there is none, or none now.
    pub(super) fn take_pack(&mut self) -> Result<(), Refused> {
        match self.ctx.packs.find(self.lease.task.spec.kind.as_deref()) {
            Found::Ready { name, loaded, file } => {
                self.ctx.budgets.look(&self.ctx);
                if let Some(bar) = self.ctx.budgets.bars().get(name.as_str()) {
                    return Err(self.not_now(bar.why.clone()));
                }
                let file = file.map(|it| it.display().to_string());
                if let Some(file) = &file {
                    tracing::info!(task = %self.lease.name, run_id = %self.lease.run, file = %file, "Agent pack loaded: {name}");
                }
                self.pack = Stamp { name: name.to_string(), file, pack: loaded.pack.clone() };
                Ok(())
            }
            Found::Unknown { near } => Err(self.no_pack(near.as_deref())),
            Found::Barred(bar) => Err(self.not_now(bar.why)),
        }
    }

    fn no_pack(&self, near: Option<&str>) -> Refused {
        let kind = shown(self.lease.task.spec.kind.as_deref().unwrap_or_default(), 80);
        let packs = self.ctx.layout().packs();
        let hint = near.map_or_else(
            || format!("the built-in one is `default`, others are files `{}/<name>.toml`", packs.display()),
            |near| format!("did you mean `{near}`? A pack is a file `{}/<name>.toml`", packs.display()),
        );
        refuse(ErrorCode::E001, &format!("there is no pack `{kind}`; {hint}"))
    }

    /// It was usable when the task was chosen: the task goes back, and waits for its pack there.
    pub(super) fn not_now(&self, reason: String) -> Refused {
        let retry_at = self.ctx.clock.wall().checked_add(AGAIN).ok();
        let entry = Requeue {
            outcome: AttemptOutcome::NotStarted,
            charged: false,
            reason,
            error_code: None,
            retry_at,
            usage: Usage::default(),
        };
        Box::new(Disposition::Requeue { entry, hold: None })
    }

    /// Writes down what the attempt is started with.
    pub(super) fn stamp(&self) -> Result<(), Refused> {
        let (paths, number) = (self.lease.paths(self.ctx.layout()), self.lease.number());
        let path = paths.pack(number);
        let written = make_dir(&paths.attempt(number), DIR_MODE)
            .and_then(|()| self.pack.write(&path, self.ctx.config.durability));
        written.map_err(|error| no_room(&path, &error))
    }

    /// What an agent was started with that lives.
    pub(super) fn recall_pack(&mut self) {
        let path = self.lease.paths(self.ctx.layout()).pack(self.lease.number());
        self.pack = Stamp::read(&path).unwrap_or_else(|error| {
            tracing::warn!(task = %self.lease.name, error = %error, "could not read what its agent was started with");
            Stamp::default()
        });
    }

    /// The directory that the task or its pack names, within the worker's roots and those of the pack, and how it works there.
    pub(super) fn wanted_directory(&self) -> Result<Option<(WorkdirMode, Workdir)>, Refused> {
        let pack = &self.pack.pack;
        let wrong = |why: &str| refuse(ErrorCode::E002, why);
        let (mode, wanted) = match site(&self.pack.name, pack, &self.lease.task.spec) {
            Ok(Site::Own) => return Ok(None),
            Ok(Site::Named(mode, wanted)) => (mode, wanted),
            Err(why) => return Err(wrong(&why)),
        };
        let workdir = allowed(&wanted, &self.ctx.config.workdir_roots).map_err(|why| wrong(&why))?;
        if let Some(roots) = pack.workdir_roots.as_deref().filter(|roots| !is_below(&workdir, roots)) {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            let (name, pack) = (shown(&wanted.display().to_string(), 300), &self.pack.name);
            let roots = roots.join(", ");
            return Err(wrong(&format!("the pack `{pack}` works below {roots} only, and not in `{name}`")));
        }
        Ok(Some((mode, workdir)))
    }

    /// How the CLI works.
    pub(super) fn manner(&self) -> Manner {
        let pack = self.pack.pack.clone();
        Manner {
            model: pack.model,
            fallback_model: pack.fallback_model,
            permission_mode: pack.permission_mode.map(PermissionMode::as_str),
            allowed_tools: pack.allowed_tools,
            disallowed_tools: pack.disallowed_tools,
            system_prompt: pack.system_prompt,
            json_schema: pack.json_schema,
        }
    }

    /// What it may take.
    pub(super) fn limits(&self) -> Limits {
        let (config, pack) = (&self.ctx.config, &self.pack.pack);
        Limits {
            wall: pack.timeout(self.lease.task.spec.timeout_s, config.agent_timeout),
            silence: pack.idle_timeout(config.idle_timeout),
            quiet: config.visibility_timeout,
            output: pack.max_output.unwrap_or(config.max_output),
            memory: pack.max_memory.or(config.agent_memory),
        }
    }

    /// What its answer is worth if a tool was denied.
    pub(super) fn denied(&self) -> Denied<'_> {
        match (self.pack.pack.denied_tools, &self.pack.file) {
            (DeniedTools::Report, _) => Denied::Counts,
            (DeniedTools::Fail, Some(file)) => Denied::FailsBy(file),
            (DeniedTools::Fail, None) => Denied::Fails,
        }
    }

    /// How often it may be tried: usually, and at most.
    pub(super) fn retries(&self, judgement: &Judgement) -> (u32, Option<u32>) {
        let pack = &self.pack.pack;
        let over = matches!(judgement.verdict, Verdict::Failed { code: ErrorCode::E003, .. });
        if over && pack.after_timeout == AfterTimeout::Fail {
            return (0, Some(0));
        }
        (pack.max_retries.unwrap_or(self.ctx.config.max_retries), pack.max_retries)
    }

    /// What the end of the run says of its pack: one that was taken back is the reason why it was ended, and one that the
    /// CLI refuses holds its own tasks and not the worker.
    pub(super) fn about_pack(&self, disposition: &mut Disposition, ended_by: Option<EndedBy>) {
        let Disposition::Requeue { entry, hold } = disposition else { return };
        if ended_by == Some(EndedBy::Stop)
            && let Some(bar) = self.taken_back()
        {
            entry.reason = bar.why;
        }
        let name = self.lease.task.spec.kind.as_deref();
        let (Some(file), Some(name)) = (&self.pack.file, crate::pack::PackName::of(name)) else { return };
        let refused = hold.take_if(|it| it.cause == HoldCause::Configuration && self.pack.pack.chooses());
        if let Some(Holding { reason, .. }) = refused {
            let remedy = format!(
                "look at the model, the permissions and the schema in `{file}`; it is tried again when that changed"
            );
            self.ctx.packs.refused(&name, &format!("the CLI refuses the pack `{name}`: {reason}"), &remedy);
            entry.retry_at = self.ctx.clock.wall().checked_add(AGAIN).ok();
        }
    }

    /// What took its pack back, if somebody did and wanted its runs to end.
    pub(super) fn taken_back(&self) -> Option<Bar> {
        match self.ctx.packs.find(self.lease.task.spec.kind.as_deref()) {
            Found::Barred(bar) => Some(bar).filter(|it| it.what == What::Disabled && it.end_running),
            Found::Ready { .. } | Found::Unknown { .. } => None,
        }
    }
}

fn is_below(workdir: &Workdir, roots: &[PathBuf]) -> bool {
    roots.iter().filter_map(|root| root.canonicalize().ok()).any(|root| workdir.path.starts_with(root))
}
