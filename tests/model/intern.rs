//! Paths and contents as small numbers, given once in a process, and what can be read in each of them.
//!
//! It deliberately does not know which of them stand on a disk.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, RwLock};

use agent_worker::layout::Layout;
use agent_worker::task::{FileName, Place, TaskFile, WorkerName};

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PathId(u16);

/// A content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(u32);

#[derive(Debug)]
struct PathFacts {
    path: &'static Path,
    parent: PathId,
    is_of_layout: bool,
    home: Option<(usize, Place, FileName)>,
}

/// What can be read in a content.
#[derive(Debug)]
pub(crate) struct TextFacts {
    pub(crate) bytes: &'static [u8],
    /// Of which drop it is.
    pub(crate) mark: Option<char>,
    /// What it says as a task file.
    pub(crate) task: Option<TaskFile>,
    age: i64,
}

#[derive(Debug)]
struct Table<K: 'static, F: 'static> {
    numbers: HashMap<&'static K, u32>,
    facts: Vec<&'static F>,
}

impl<K, F> Default for Table<K, F> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), facts: Vec::new() }
    }
}

static PATHS: LazyLock<RwLock<Table<PathBuf, PathFacts>>> = LazyLock::new(RwLock::default);
static TEXTS: LazyLock<RwLock<Table<Vec<u8>, TextFacts>>> = LazyLock::new(RwLock::default);

pub(crate) const WORKERS: [&str; 2] = ["marie", "anga"];

pub(crate) fn layout() -> Layout {
    Layout::new("/r")
}

pub(crate) fn worker(nth: usize) -> WorkerName {
    WORKERS[nth].parse().expect("a worker's name")
}

/// The number of a path.
pub(crate) fn path(path: &Path) -> PathId {
    if let Some(number) = PATHS.read().expect("paths").numbers.get(&path.to_path_buf()) {
        return PathId(u16::try_from(*number).expect("few paths"));
    }
    let parent = path.parent().filter(|it| *it != path).map_or(PathId(0), self::path);
    let mut table = PATHS.write().expect("paths");
    if let Some(number) = table.numbers.get(&path.to_path_buf()) {
        return PathId(u16::try_from(*number).expect("few paths"));
    }
    let owned: &'static PathBuf = Box::leak(Box::new(path.to_owned()));
    let number = table.facts.len();
    let facts = PathFacts { path: owned, parent, is_of_layout: is_laid_out(path), home: home_of(path) };
    table.facts.push(Box::leak(Box::new(facts)));
    table.numbers.insert(owned, u32::try_from(number).expect("few paths"));
    PathId(u16::try_from(number).expect("few paths"))
}

fn is_laid_out(path: &Path) -> bool {
    let of_workers = (0..WORKERS.len()).flat_map(|nth| layout().worker_dirs(&worker(nth)));
    path == Path::new("/") || layout().common_dirs().into_iter().chain(of_workers).any(|dir| dir == path)
}

fn home_of(path: &Path) -> Option<(usize, Place, FileName)> {
    let file: FileName = path.file_name()?.to_str()?.parse().ok()?;
    let dir = path.parent()?;
    let places = Place::QUEUES.iter().chain([&Place::Active]).chain(&Place::TERMINAL);
    let mut all = places.flat_map(|place| (0..WORKERS.len()).map(move |nth| (nth, *place)));
    let (nth, place) = all.find(|(nth, place)| layout().place(&worker(*nth), *place) == dir)?;
    Some((nth, place, file))
}

fn path_facts(path: PathId) -> &'static PathFacts {
    PATHS.read().expect("paths").facts[usize::from(path.0)]
}

pub(crate) fn path_of(path: PathId) -> &'static Path {
    path_facts(path).path
}

pub(crate) fn parent(path: PathId) -> PathId {
    path_facts(path).parent
}

/// Whether it is a folder that the layout has, which is there before anything happens.
pub(crate) fn is_of_layout(path: PathId) -> bool {
    path_facts(path).is_of_layout
}

/// Whose place a task file stands in; the inbox is the first worker's here.
pub(crate) fn home(path: PathId) -> Option<&'static (usize, Place, FileName)> {
    path_facts(path).home.as_ref()
}

/// The number of a content.
pub(crate) fn text(bytes: &[u8]) -> Text {
    if let Some(number) = TEXTS.read().expect("texts").numbers.get(&bytes.to_vec()) {
        return Text(*number);
    }
    let mut table = TEXTS.write().expect("texts");
    if let Some(number) = table.numbers.get(&bytes.to_vec()) {
        return Text(*number);
    }
    let owned: &'static Vec<u8> = Box::leak(Box::new(bytes.to_vec()));
    let number = u32::try_from(table.facts.len()).expect("few texts");
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    let age = i64::try_from(hash.finish() % 1_000_000).unwrap_or_default() + 5_000_000;
    let facts = TextFacts { bytes: owned, mark: mark_of(bytes), task: TaskFile::parse(bytes).ok(), age };
    table.facts.push(Box::leak(Box::new(facts)));
    table.numbers.insert(owned, number);
    Text(number)
}

pub(crate) fn facts(text: Text) -> &'static TextFacts {
    TEXTS.read().expect("texts").facts[text.0 as usize]
}

pub(crate) fn bytes(text: Text) -> &'static [u8] {
    facts(text).bytes
}

/// The age that a file of this content gets: other content, other age, as if time had passed.
pub(crate) fn age(text: Text) -> i64 {
    facts(text).age
}

/// The mark in a task's text; it stands at the end, so that half a text has none.
fn mark_of(text: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("\"mark\":")?;
    rest.trim_start().strip_prefix('"')?.chars().next()
}

/// Which place of a worker the folder of a path is.
pub(crate) fn home_dir(path: &Path) -> Option<Place> {
    let dir = path.parent()?;
    let places = Place::QUEUES.iter().chain([&Place::Active]).chain(&Place::TERMINAL);
    let mut all = places.flat_map(|place| (0..WORKERS.len()).map(move |nth| (nth, *place)));
    all.find(|(nth, place)| layout().place(&worker(*nth), *place) == dir).map(|(_, place)| place)
}
