//! The pages for operators, as what they tell to type: section by section, read off the text.
//!
//! What is a command: each line of a block of shell, and each piece of code in a sentence or a table that has more than
//! one word and begins with a program of this machine or with one of ours. A new one is found without anybody saying so.

#![allow(dead_code, reason = "each test uses its own part of it")]
#![allow(clippy::disallowed_methods, reason = "whether there is a program of a name is asked of the machine")]

use std::collections::BTreeSet;
use std::path::Path;

/// The pages.
const PAGES: [&str; 5] = [
    include_str!("../../docs/operating.md"),
    include_str!("../../docs/supervisor.md"),
    include_str!("../../docs/resources.md"),
    include_str!("../../docs/checks.md"),
    include_str!("../../docs/top.md"),
];

/// Programs that may be missing where the pages are read, and are commands all the same.
const PROGRAMS: [&str; 16] = [
    "agentctl",
    "claude",
    "coredumpctl",
    "curl",
    "dmesg",
    "docker",
    "docker-compose",
    "flock",
    "journalctl",
    "jq",
    "last",
    "npm",
    "sudo",
    "supervisor",
    "systemctl",
    "watcher",
];

/// What is typed on a machine whose PID 1 is systemd, and with its own users.
pub(crate) const OF_SYSTEMD: [&str; 3] = ["journalctl", "sudo", "systemctl"];

/// What is typed where there is a Docker daemon.
pub(crate) const OF_DOCKER: [&str; 2] = ["docker", "docker-compose"];

/// One section of a page.
#[derive(Debug)]
pub(crate) struct Section {
    /// What stands behind `## `; the page's title for what stands before the first one.
    pub(crate) heading: &'static str,
    /// What it tells to type, in order.
    pub(crate) commands: Vec<String>,
}

/// All sections of all pages.
pub(crate) fn sections() -> Vec<Section> {
    PAGES.iter().flat_map(|page| of_page(page)).collect()
}

/// What the pages tell to type that begins with one of `programs`.
pub(crate) fn of(programs: &[&str]) -> BTreeSet<String> {
    let all = sections().into_iter().flat_map(|section| section.commands);
    all.filter(|command| programs.contains(&first_word(command))).collect()
}

/// Whether it is typed on another machine than the plain one.
pub(crate) fn is_elsewhere(command: &str) -> bool {
    OF_SYSTEMD.iter().chain(&OF_DOCKER).any(|it| *it == first_word(command))
}

fn first_word(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

fn of_page(page: &'static str) -> Vec<Section> {
    let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
    let mut sections = vec![Section { heading: title, commands: Vec::new() }];
    let (mut block, mut prose) = (None, String::new());
    for line in page.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language == "sh"),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) => last(&mut sections).commands.extend(without_comment(line)),
            (None, Some(false)) => {}
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    last(&mut sections).commands.extend(inline(&std::mem::take(&mut prose)));
                    sections.push(Section { heading, commands: Vec::new() });
                }
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    last(&mut sections).commands.extend(inline(&prose));
    sections
}

fn last(sections: &mut [Section]) -> &mut Section {
    sections.last_mut().expect("there is the one of the title")
}

/// A line of shell without what is said about it.
fn without_comment(line: &str) -> Option<String> {
    let typed = line.split(" # ").next().unwrap_or_default().trim();
    (!typed.is_empty() && !typed.starts_with('#')).then(|| typed.to_owned())
}

/// The pieces of code in a text that are commands. A piece may go over the end of a line.
fn inline(text: &str) -> Vec<String> {
    let pieces = text.split('`').skip(1).step_by(2);
    let pieces = pieces.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ").replace(r"\|", "|"));
    pieces.filter(|it| it.contains(' ') && is_program(first_word(it))).collect()
}

fn is_program(name: &str) -> bool {
    let dirs = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    PROGRAMS.contains(&name) || is_name && dirs.iter().any(|dir| Path::new(dir).join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_found() {
        let page = "# P\n\n`agentctl status`\n\n## A\n\nDo `agentctl\nwhy T`, `status` or `no such`; `max 3`.\n\n\
                    ```sh\n# first\nls -l /x   # all\necho '#1' > f\n```\n\n```toml\nls no\n```\n\n| a | `jq . f \\| cat` |\n";
        let found = of_page(page);
        assert_eq!(found.iter().map(|it| it.heading).collect::<Vec<_>>(), ["P", "A"]);
        assert_eq!(found[0].commands, ["agentctl status"]);
        let all: BTreeSet<&str> = found[1].commands.iter().map(String::as_str).collect();
        assert_eq!(all, BTreeSet::from(["agentctl why T", "echo '#1' > f", "jq . f | cat", "ls -l /x"]));
    }
}
