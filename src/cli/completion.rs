//! Completion in shells: `agentctl completions SHELL` prints what a shell sources, and that asks `agentctl` again at
//! every press of Tab.
//!
//! Invariants:
//! - what can be completed is read off the grammar: a value that is called `TASK` or `WORKER` is one, whichever verb it
//!   belongs to;
//! - a completion never fails loudly: it comes while somebody types.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use crate::config::{Environment, Exit, usual_root};
use crate::layout::Layout;
use crate::operator::{Report, candidates};

/// What a script sets when it asks; its value is the shell.
const ASKED: &str = "_AGENTCTL_COMPLETE";

const SHELLS: Shells<'static> = Shells::builtins();

/// For which shell.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  eval \"$(agentctl completions bash)\"               in ~/.bashrc
  agentctl completions zsh > _agentctl               in a folder of $fpath
  agentctl completions fish > agentctl.fish          in ~/.config/fish/completions")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
    pub shell: String,
}

/// Prints what the shell sources. `program`: as it was called, since the script has to find it again.
pub(super) fn print(report: Report, args: &CompletionsArgs, program: &OsStr, env: &Environment) -> Exit {
    let Some(shell) = SHELLS.completer(&args.shell) else { return Exit::Usage };
    // Found by its path, it is found again by that; else on the PATH, wherever it will be by then.
    let is_path = Path::new(program).components().count() > 1;
    let completer = if is_path { env.absolute(Path::new(program)) } else { PathBuf::from("agentctl") };
    let mut script = Vec::new();
    let written =
        shell.write_registration(ASKED, "agentctl", "agentctl", &completer.to_string_lossy(), &mut script);
    if written.is_err() {
        return Exit::Internal;
    }
    report.raw(&script);
    Exit::Done
}

/// Answers a shell, if it is one that asks.
pub(super) fn answer(command: Command, args: &[OsString], env: &Environment) -> Option<Exit> {
    let shell = SHELLS.completer(env.text(ASKED)?)?;
    let words: Vec<OsString> = args.iter().skip_while(|arg| *arg != "--").skip(1).cloned().collect();
    let mut command = knowing(command, &Layout::new(env.absolute(&root(&words, env))));
    command.build();
    let mut out = Vec::new();
    if shell.write_complete(&mut command, words, Some(env.cwd()), &mut out).is_ok() {
        Report::new(env).raw(&out);
    }
    Some(Exit::Done)
}

/// The root that the words name, else the usual one.
fn root(words: &[OsString], env: &Environment) -> PathBuf {
    let said =
        words.iter().enumerate().find_map(|(n, word)| match word.to_str()?.strip_prefix("--root")? {
            "" => words.get(n + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        });
    said.or_else(|| usual_root(env).ok()).unwrap_or_else(|| PathBuf::from("/shared"))
}

/// The grammar with the names that stand below `layout`.
fn knowing(command: Command, layout: &Layout) -> Command {
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| known(arg, layout));
    verbs
        .into_iter()
        .fold(command, |command, verb| command.mut_subcommand(verb, |verb| knowing(verb, layout)))
}

fn known(arg: Arg, layout: &Layout) -> Arg {
    let called: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let names = |word: &str| called.iter().any(|name| name.split('|').any(|part| part == word));
    let (tasks, workers) = (names("TASK"), names("WORKER") || arg.get_id() == "worker");
    if !tasks && !workers {
        return arg;
    }
    let layout = layout.clone();
    arg.add(ArgValueCompleter::new(move |begun: &OsStr| {
        let begun = begun.to_str().unwrap_or_default();
        let mut words = if workers { candidates::workers(&layout) } else { Vec::new() };
        if tasks {
            words.extend(candidates::tasks(&layout, begun));
        }
        words.into_iter().filter(|word| word.starts_with(begun)).map(CompletionCandidate::new).collect()
    }))
}
