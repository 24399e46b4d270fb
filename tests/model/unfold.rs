//! The program's own operations, unfolded into what they ask of the disk, one question after the other.
//!
//! An operation is run with the answers that it got so far; at the first question that has no answer yet it is left. So
//! each transition of the model is a step that the program itself would do next, and nothing of the protocol is written
//! down a second time. What was unfolded once is kept: an operation is a tree, whose branches are the answers.
//!
//! Invariants:
//! - an operation depends on nothing but its own parameters and the answers; what it mints is renamed to what its
//!   parameters say, so that two of the same history are the same.
//!
//! It deliberately does not know a disk.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use agent_worker::recovery::{Testimony, Witness};
use agent_worker::spool::store::Entry;
use agent_worker::spool::{Identity, Step, StepError, Store};
use agent_worker::task::{Attempt, RunId};

use super::intern::{self, PathId, Text};
use super::operations::{Done, Ending, Op};
use super::shapes::{self, Mutation};

/// What an operation asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    List(PathId),
    Read(PathId),
    Identity(PathId),
    Held(PathId),
    Testify(RunId, u32),
    Perform(Step),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    List(Vec<PathId>),
    Read(Result<(Text, Identity), ErrorKind>),
    Identity(Result<Identity, ErrorKind>),
    Held(bool),
    Testimony(Word),
    Performed(Result<(), ErrorKind>),
}

/// What is known of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    Lives,
    /// It is gone: what its stream says, and whether something is owed before that counts.
    Dead {
        heard: Option<Ending>,
        owes: bool,
    },
}

/// Where an operation stands: what it asks next, or what it came to.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    Asks(Request),
    Ended(Arc<Done>),
}

/// A point of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Point(u32);

#[derive(Debug)]
struct Node {
    op: Arc<Op>,
    before: Option<(Point, Answer)>,
    next: Next,
    /// The steps that follow in the same list, if this one is done.
    rest: Vec<Step>,
    branches: Mutex<HashMap<Answer, Point>>,
}

/// Answers what is asked without changing anything.
pub(crate) type Look<'a> = &'a dyn Fn(&Request) -> Answer;

/// The operations as far as they were unfolded, of a program with one step changed, or none.
#[derive(Debug, Default)]
pub(crate) struct Unfolded {
    nodes: RwLock<Vec<Arc<Node>>>,
    roots: Mutex<HashMap<Arc<Op>, Point>>,
    mutation: Option<Mutation>,
    shapes: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Unfolded {
    pub(crate) fn with(mutation: Option<Mutation>) -> Self {
        Self { mutation, ..Self::default() }
    }

    /// The shapes of the lists of steps that were begun, each with its steps in words.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<String>> {
        self.shapes.lock().expect("shapes").clone()
    }

    fn node(&self, point: Point) -> Arc<Node> {
        Arc::clone(&self.nodes.read().expect("nodes")[point.0 as usize])
    }

    /// Where an operation stands when it has looked at everything that it looks at before its first step.
    pub(crate) fn begin(&self, op: &Op, look: Look<'_>) -> Point {
        let known = self.roots.lock().expect("roots").get(op).copied();
        let point = known.unwrap_or_else(|| {
            let op = Arc::new(op.clone());
            let (next, rest, _) = self.run(&op, Vec::new(), None);
            let mut roots = self.roots.lock().expect("roots");
            *roots.entry(Arc::clone(&op)).or_insert_with(|| self.add(op, None, next, rest))
        });
        self.look_on(point, look)
    }

    fn look_on(&self, point: Point, look: Look<'_>) -> Point {
        let Next::Asks(request) = self.next(point) else { return point };
        let is_step = matches!(request, Request::Perform(_));
        if is_step { point } else { self.told(point, look(&request), look) }
    }

    pub(crate) fn op(&self, point: Point) -> Arc<Op> {
        Arc::clone(&self.node(point).op)
    }

    pub(crate) fn next(&self, point: Point) -> Next {
        self.node(point).next.clone()
    }

    /// Where an operation stands when it has its answer, and has looked at what it looks at then.
    pub(crate) fn told(&self, point: Point, answer: Answer, look: Look<'_>) -> Point {
        let node = self.node(point);
        let known = node.branches.lock().expect("branches").get(&answer).copied();
        if let Some(next) = known {
            return self.look_on(next, look);
        }
        if let (Answer::Performed(Ok(())), Some((step, rest))) = (&answer, node.rest.split_first()) {
            let next = Next::Asks(Request::Perform(step.clone()));
            return self.branch(point, answer, next, rest.to_vec());
        }
        let mut log = vec![answer.clone()];
        let mut before = node.before.clone();
        while let Some((earlier, answer)) = before.take() {
            log.push(answer);
            before.clone_from(&self.node(earlier).before);
        }
        log.reverse();
        let (next, rest, trail) = self.run(&node.op, log, Some(look));
        let (mut at, mut told) = (point, answer);
        for (request, answer) in trail {
            at = self.branch(at, told, Next::Asks(request), Vec::new());
            told = answer;
        }
        self.branch(at, told, next, rest)
    }

    fn branch(&self, point: Point, answer: Answer, next: Next, rest: Vec<Step>) -> Point {
        let node = self.node(point);
        let mut branches = node.branches.lock().expect("branches");
        let before = Some((point, answer.clone()));
        *branches.entry(answer).or_insert_with(|| self.add(Arc::clone(&node.op), before, next, rest))
    }

    fn add(&self, op: Arc<Op>, before: Option<(Point, Answer)>, next: Next, rest: Vec<Step>) -> Point {
        let mut nodes = self.nodes.write().expect("nodes");
        nodes.push(Arc::new(Node { op, before, next, rest, branches: Mutex::default() }));
        Point(u32::try_from(nodes.len() - 1).expect("few points"))
    }

    /// Runs an operation with the answers that it got, and on, as far as looking is enough.
    fn run(&self, op: &Op, log: Vec<Answer>, look: Option<Look<'_>>) -> (Next, Vec<Step>, Vec<Looked>) {
        let desk = Desk {
            log,
            look,
            trail: RefCell::default(),
            rest: RefCell::default(),
            at: Cell::new(0),
            asked: RefCell::new(None),
            mint: op.mint(),
            temps: RefCell::default(),
            unfolded: self,
        };
        let done = op.perform(&desk);
        let (trail, rest) = (desk.trail.into_inner(), desk.rest.into_inner());
        match desk.asked.into_inner() {
            Some(request) => (Next::Asks(request), rest, trail),
            None => (Next::Ended(Arc::new(done)), Vec::new(), trail),
        }
    }

    fn mutated(&self, steps: &[Step]) -> Vec<Step> {
        let words = shapes::words(steps);
        let shape = words.join(", ");
        let mut steps = steps.to_vec();
        if let Some(mutation) = self.mutation.as_ref().filter(|it| it.shape == shape) {
            mutation.apply(&mut steps);
        }
        self.shapes.lock().expect("shapes").entry(shape).or_insert(words);
        steps
    }
}

type Looked = (Request, Answer);

/// What an operation mints, and what it is called here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mint {
    /// The run that it begins, if it begins one.
    pub(crate) run: RunId,
    /// Who acts, and in which of his lives: temporary names of a life that was cut are not met again.
    pub(crate) life: u8,
}

/// One run of an operation.
pub(crate) struct Desk<'a> {
    log: Vec<Answer>,
    look: Option<Look<'a>>,
    /// What was looked at beyond the log.
    trail: RefCell<Vec<Looked>>,
    rest: RefCell<Vec<Step>>,
    at: Cell<usize>,
    asked: RefCell<Option<Request>>,
    mint: Mint,
    temps: RefCell<Vec<PathBuf>>,
    unfolded: &'a Unfolded,
}

/// How the model's runs are numbered.
pub(crate) fn run(nth: u8) -> RunId {
    RunId(uuid::Uuid::from_u128(0x7000_8000_0000_0000_0000 + u128::from(nth)))
}

fn is_of_the_model(id: &str) -> bool {
    id.starts_with("00000000-")
}

impl Desk<'_> {
    fn ask(&self, request: Request) -> Option<Answer> {
        let at = self.at.get();
        if let Some(answer) = self.log.get(at) {
            self.at.set(at + 1);
            return Some(answer.clone());
        }
        let mut asked = self.asked.borrow_mut();
        if asked.is_none() {
            match self.look {
                Some(look) if !matches!(request, Request::Perform(_)) => {
                    let answer = look(&request);
                    self.trail.borrow_mut().push((request, answer.clone()));
                    return Some(answer);
                }
                _ => *asked = Some(request),
            }
        }
        None
    }

    /// A path as the model knows it.
    fn known(&self, path: &Path) -> PathBuf {
        let text =
            String::from_utf8(self.renamed(path.to_string_lossy().as_bytes())).expect("a path of ours");
        let path = PathBuf::from(text);
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let Some(own) = name.strip_prefix('.').and_then(|it| it.strip_suffix(".tmp")) else { return path };
        let mut parts = own.rsplitn(3, '.');
        let (Some(nth), Some(pid), Some(stem)) = (parts.next(), parts.next(), parts.next()) else {
            return path;
        };
        if pid != std::process::id().to_string() || nth.parse::<u64>().is_err() {
            return path;
        }
        let mut temps = self.temps.borrow_mut();
        let nth = temps.iter().position(|it| *it == path).unwrap_or_else(|| {
            temps.push(path.clone());
            temps.len() - 1
        });
        path.with_file_name(format!(".{stem}.{}.{nth}.tmp", self.mint.life))
    }

    /// A text without the ids that were minted while it was made.
    pub(crate) fn renamed(&self, bytes: &[u8]) -> Vec<u8> {
        const LENGTH: usize = 36;
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        while at + LENGTH <= bytes.len() {
            let Some(id) = std::str::from_utf8(&bytes[at..at + LENGTH]).ok().filter(|it| is_id(it)) else {
                at += 1;
                continue;
            };
            if !is_of_the_model(id) {
                bytes[at..at + LENGTH].copy_from_slice(self.mint.run.to_string().as_bytes());
            }
            at += LENGTH;
        }
        bytes
    }

    fn renamed_step(&self, step: &Step) -> Step {
        let known = |path: &Path| self.known(path);
        match step {
            Step::SyncFile(path) => Step::SyncFile(known(path)),
            Step::SyncDir(path) => Step::SyncDir(known(path)),
            Step::MakeDir(path) => Step::MakeDir(known(path)),
            Step::Move { from, to } => Step::Move { from: known(from), to: known(to) },
            Step::Confirm { at, is } => Step::Confirm { at: known(at), is: *is },
            Step::Write { path, bytes, mtime } => {
                Step::Write { path: known(path), bytes: self.renamed(bytes), mtime: *mtime }
            }
            Step::Replace { from, to } => Step::Replace { from: known(from), to: known(to) },
            Step::Remove(path) => Step::Remove(known(path)),
            Step::Look(path) => Step::Look(known(path)),
            Step::Note(path) => Step::Note(known(path)),
        }
    }
}

fn is_id(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.bytes().enumerate().all(
        |(at, byte)| {
            if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        },
    )
}

/// No answer yet: the operation is left where it asked.
fn left() -> io::Error {
    ErrorKind::Interrupted.into()
}

impl Store for &Desk<'_> {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        match self.ask(Request::List(intern::path(&self.known(dir)))) {
            Some(Answer::List(paths)) => Ok(paths.into_iter().map(entry).collect()),
            _ => Err(left()),
        }
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<(Vec<u8>, Identity)> {
        match self.ask(Request::Read(intern::path(&self.known(path)))) {
            Some(Answer::Read(read)) => {
                let (text, identity) = read?;
                Ok((intern::bytes(text).to_vec(), identity))
            }
            _ => Err(left()),
        }
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        match self.ask(Request::Identity(intern::path(&self.known(path)))) {
            Some(Answer::Identity(found)) => Ok(found?),
            _ => Err(left()),
        }
    }

    fn is_held(&self, path: &Path) -> io::Result<bool> {
        match self.ask(Request::Held(intern::path(&self.known(path)))) {
            Some(Answer::Held(is)) => Ok(is),
            _ => Err(left()),
        }
    }

    fn perform(&self, step: &Step) -> io::Result<()> {
        match self.ask(Request::Perform(self.renamed_step(step))) {
            Some(Answer::Performed(done)) => Ok(done?),
            _ => Err(left()),
        }
    }

    fn perform_all(&self, steps: &[Step]) -> Result<(), StepError> {
        let renamed: Vec<Step> = steps.iter().map(|step| self.renamed_step(step)).collect();
        let steps = self.unfolded.mutated(&renamed);
        steps.iter().enumerate().try_for_each(|(index, step)| {
            if self.asked.borrow().is_none() {
                *self.rest.borrow_mut() = steps[index + 1..].to_vec();
            }
            self.perform(step).map_err(|source| {
                if self.asked.borrow().is_none() {
                    self.rest.borrow_mut().clear();
                }
                self.discard(&steps[..index]);
                StepError { step: step.clone(), index, source }
            })
        })
    }
}

fn entry(path: PathId) -> Entry {
    let path = intern::path_of(path);
    Entry { name: path.file_name().unwrap_or_default().to_owned(), path: path.to_owned() }
}

impl Witness for &Desk<'_> {
    fn testify(&self, run: RunId, attempt: &Attempt) -> io::Result<Testimony> {
        match self.ask(Request::Testify(run, attempt.number)) {
            Some(Answer::Testimony(word)) => Ok(word.testimony()),
            _ => Err(left()),
        }
    }
}
