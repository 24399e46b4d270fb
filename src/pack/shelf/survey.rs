//! All packs at once, as a worker looks each second and a person when he asks.
//!
//! Invariants:
//! - a mark is seen before a file: what was taken back is told however many files there are;
//! - a folder with more names than anybody has packs costs no more than [`NAMES_MAX`] of them, and is told.

use std::collections::BTreeSet;
use std::io;

use super::{Bars, Closed, DEFAULT, Fault, Folder, Found, PackName, Shelf, Sighting, broken, mark};
use crate::task::text::shown;

/// So many names are looked at each second; the packs behind the others are looked at when a task names them.
const NAMES_MAX: usize = 1000;

/// What one look at all packs found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Those that nothing may be started with now.
    pub bars: Bars,
    /// All that there are, by name: those with a file or a mark, and `default`.
    pub packs: BTreeSet<String>,
    /// What is odd about the folder and bars nothing, in words, with what to do.
    pub odd: Vec<(String, String)>,
}

/// The names in the folder.
#[derive(Debug, Default)]
struct Listing {
    /// The packs that have a mark.
    marked: BTreeSet<PackName>,
    /// Those that have a file.
    filed: BTreeSet<PackName>,
    /// How many names there are of files or marks.
    all: usize,
    /// Files that were meant for packs and cannot be any by their names.
    strays: Vec<String>,
}

impl Listing {
    fn of(folder: &Folder) -> io::Result<Self> {
        let mut listing = Self::default();
        for name in folder.names()? {
            let text = name.to_string_lossy();
            let parts = text.strip_suffix(".toml").map(|it| (it, false));
            let Some((stem, is_mark)) = parts.or(text.strip_suffix(".disabled").map(|it| (it, true))) else {
                continue;
            };
            match stem.parse::<PackName>() {
                Ok(pack) => {
                    listing.all += 1;
                    let _ = if is_mark { listing.marked.insert(pack) } else { listing.filed.insert(pack) };
                }
                // What editors and writers leave beside.
                Err(_) if text.starts_with('.') => {}
                Err(_) => listing.strays.push(shown(&text, 80)),
            }
        }
        listing.strays.sort();
        Ok(listing)
    }

    /// Both, those with a mark first.
    fn names(&self) -> impl Iterator<Item = &PackName> {
        self.marked.iter().chain(self.filed.iter().filter(|it| !self.marked.contains(*it)))
    }

    fn odd(&self, folder: &std::path::Path) -> Vec<(String, String)> {
        let mut odd = Vec::new();
        if self.all > NAMES_MAX {
            odd.push((
                format!(
                    "`{}` holds {} packs and marks; the first {NAMES_MAX} are watched, the others are looked at when a task names them",
                    folder.display(),
                    self.all
                ),
                "take away what is not used".to_owned(),
            ));
        }
        if let Some(first) = self.strays.first() {
            let more = self.strays.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            odd.push((
                format!(
                    "no pack can be called `{first}`{more} in `{}`, and it is passed over",
                    folder.display()
                ),
                "a name has A-Z a-z 0-9 . _ - and at most 64 of them, then `.toml`".to_owned(),
            ));
        }
        odd
    }
}

/// The packs that a folder has files or marks of.
pub(super) fn names(folder: &Folder) -> io::Result<Vec<PackName>> {
    let mut names: Vec<_> = Listing::of(folder)?.names().cloned().collect();
    names.sort();
    Ok(names)
}

impl Shelf {
    /// Looks at all of them.
    pub fn survey(&self) -> Survey {
        let mut packs: BTreeSet<String> = self.seen().keys().map(ToString::to_string).collect();
        packs.insert(DEFAULT.to_owned());
        let folder = match self.open() {
            Ok(folder) => Some(folder),
            Err(Closed::Missing) => None,
            Err(Closed::Unfit(why, remedy)) => {
                let bar = broken(why, remedy);
                let default = self.default_stands_there().then(|| (DEFAULT.to_owned(), bar.clone()));
                let bars = Bars { named: default.into_iter().collect(), others: Some(bar) };
                return Survey { bars, packs, odd: Vec::new() };
            }
        };
        // A folder that could not be listed now may hold a mark of any pack that is known.
        let listing = folder.as_ref().and_then(|it| Listing::of(it).ok());
        let may_be_marked = |name: &PackName| listing.as_ref().is_none_or(|it| it.marked.contains(name));
        let mut names: BTreeSet<PackName> = self.seen().keys().cloned().collect();
        names.extend(listing.iter().flat_map(|it| it.names().take(NAMES_MAX)).cloned());
        packs.extend(names.iter().map(ToString::to_string));
        let odd = listing.as_ref().map(|it| it.odd(&self.layout.packs())).unwrap_or_default();
        let mut survey = Survey { packs, odd, ..Survey::default() };
        for name in names {
            let found = match &folder {
                Some(folder) => {
                    let mark = Some(&name).filter(|it| may_be_marked(it)).and_then(|it| mark(folder, it));
                    self.find_in(folder, name.clone(), mark, Vec::new)
                }
                None => self.absent(name.clone(), Vec::new),
            };
            match found {
                Found::Barred(bar) => {
                    survey.bars.named.insert(name.to_string(), bar);
                }
                Found::Unknown { .. } => {
                    survey.packs.remove(name.as_str());
                }
                Found::Ready { .. } => {}
            }
        }
        survey
    }

    /// Everything that nothing may be started with now.
    pub fn bars(&self) -> Bars {
        self.survey().bars
    }

    /// All that stands in the folder; an error is a folder that cannot be used, in words, with what to do.
    pub fn sightings(&self) -> Result<Vec<Sighting>, Fault> {
        let folder = match self.open() {
            Ok(folder) => folder,
            Err(Closed::Missing) => return Ok(Vec::new()),
            Err(Closed::Unfit(why, remedy)) => return Err(Fault::of_file(why, remedy)),
        };
        let names = names(&folder).map_err(|error| self.unread(&error))?;
        Ok(names
            .into_iter()
            .map(|name| {
                let read = self.read(&folder, &name).map(|seen| seen.read);
                Sighting { read, mark: mark(&folder, &name), name }
            })
            .collect())
    }
}
