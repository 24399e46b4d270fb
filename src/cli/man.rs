//! `agentctl man`: the man pages of the three programs and of each of their verbs, from the grammar itself.
//!
//! It deliberately does not know a verb: a new one has its page.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::config::Exit;
use crate::operator::{Desk, OperatorError};
use crate::os::durable::{self, Durability};

use super::{agentctl, supervisor, watcher};

/// Where the pages go.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl man > agentctl.1 && man -l agentctl.1
  agentctl man ./man1                                all pages, agentctl-status.1 and so on")]
pub struct ManArgs {
    /// Where all pages are written to; without it that of agentctl goes to stdout
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A page, with its file's name.
struct Page {
    name: String,
    text: Vec<u8>,
}

/// Writes the pages.
pub(super) fn write(desk: &Desk, args: &ManArgs) -> Result<Exit, OperatorError> {
    let report = desk.report;
    let Some(dir) = &args.dir else {
        let pages =
            pages(agentctl::Agentctl::command()).map_err(OperatorError::io("write", "stdout".as_ref()))?;
        report.raw(pages.last().map_or(&[][..], |page| &page.text));
        return Ok(Exit::Done);
    };
    let dir = desk.env.absolute(dir);
    durable::make_dir(&dir, 0o755).map_err(OperatorError::io("make", &dir))?;
    for program in
        [watcher::Watcher::command(), supervisor::Supervisor::command(), agentctl::Agentctl::command()]
    {
        for page in pages(program).map_err(OperatorError::io("write into", &dir))? {
            let path = dir.join(&page.name);
            durable::write_atomic(&path, &page.text, Durability::None)
                .map_err(OperatorError::io("write", &path))?;
            // Unlike a queue, a manual is for everybody.
            std::fs::set_permissions(&path, Permissions::from_mode(0o644))
                .map_err(OperatorError::io("open to readers", &path))?;
            report.data(&path.display().to_string());
        }
    }
    Ok(Exit::Done)
}

/// The pages of a program: those of its verbs, and its own last.
fn pages(program: Command) -> io::Result<Vec<Page>> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut found = Vec::new();
    collect(program, &mut found)?;
    Ok(found)
}

fn collect(command: Command, found: &mut Vec<Page>) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned() {
        collect(verb, found)?;
    }
    found.push(page(command)?);
    Ok(())
}

fn page(command: Command) -> io::Result<Page> {
    let more = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let has_verbs = command.get_subcommands().any(|verb| !verb.is_hide_set());
    let has_options = command.get_arguments().any(|arg| !arg.is_hide_set());
    let manual = concat!("agent-worker ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).manual("agent-worker").source(manual);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if has_options {
        man.render_options_section(&mut text)?;
    }
    if has_verbs {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(more) = more {
        text.extend(notes(&more).into_bytes());
    }
    Ok(Page { name: man.get_filename(), text: in_ascii(&String::from_utf8_lossy(&text)) })
}

/// Formatters read other letters only where somebody tells them how they are written.
fn in_ascii(text: &str) -> Vec<u8> {
    let letter = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    text.chars().map(letter).collect::<String>().into_bytes()
}

/// What stands below the options of `--help`, line by line: examples and tables are not to be filled.
fn notes(text: &str) -> String {
    let mut page = ".SH NOTES\n.nf\n".to_owned();
    for line in text.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
        // A line that begins like an order to the formatter is none.
        let guard = if line.starts_with('.') { "\\&" } else { "" };
        page.push_str(guard);
        page.push_str(&line);
        page.push('\n');
    }
    page + ".fi\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_the_options_is_kept_line_by_line_and_gives_no_orders() {
        let page = notes("Examples:\n  agentctl list -q | xargs 'x' \\n\n.so /etc/passwd");
        assert_eq!(
            page,
            ".SH NOTES\n.nf\nExamples:\n  agentctl list \\-q | xargs \\(aqx\\(aq \\en\n\\&.so /etc/passwd\n.fi\n"
        );
    }

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages(agentctl::Agentctl::command()).unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        assert!(names.contains(&"agentctl-status.1") && names.last() == Some(&"agentctl.1"), "{names:?}");
        let text = String::from_utf8_lossy(&pages.last().unwrap().text).into_owned();
        assert!(text.contains(".SH NOTES") && text.contains("agentctl submit \\(aqsay hello\\(aq"), "{text}");
    }
}
