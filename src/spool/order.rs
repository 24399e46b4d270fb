//! Which task is next: staged before pending and inbox, higher priority first, older first, and nobody
//! starves, since a waiting task gains one point of priority a minute.
//!
//! Ageing is linear in time, so the order of two tasks never changes while they wait: the key is computed
//! once, and taking the next task costs the logarithm of the backlog.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::found::Head;
use crate::clock::Timestamp;
use crate::task::{FileName, Place};

/// The room that is kept for a backlog that comes back.
const SPARE: usize = 256;
/// Milliseconds of waiting that are worth one point of priority.
const AGEING_MS: i64 = 60_000;

type Slot = (Place, FileName);

/// The key of the order; smaller is sooner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    released: u8,
    lateness: i64,
    slot: Slot,
}

impl Rank {
    /// Where a task stands that waits in `place` since `dropped_at`.
    pub fn of(place: Place, file: &FileName, priority: i32, dropped_at: Timestamp) -> Self {
        let dropped = dropped_at.as_millisecond();
        Self {
            released: u8::from(place != Place::Staged),
            lateness: dropped.saturating_sub(i64::from(priority).saturating_mul(AGEING_MS)),
            slot: (place, file.clone()),
        }
    }
}

/// The tasks that wait, by what this worker saw of the disk.
#[derive(Debug, Default)]
pub struct Queue {
    /// Boxed: a table that grows holds them twice for a moment.
    heads: HashMap<Slot, Box<Head>>,
    ready: BTreeSet<Rank>,
    later: BTreeSet<(Timestamp, Slot)>,
    /// What is asked every second must not cost the backlog: how many lie where, and how many are how old.
    depths: BTreeMap<Place, usize>,
    ages: BTreeMap<Timestamp, usize>,
}

/// What is not in the indexes yet.
#[derive(Default)]
struct New {
    ready: Vec<Rank>,
    ages: Vec<Timestamp>,
}

impl Queue {
    /// Takes in what was seen, or its new version.
    pub fn put(&mut self, head: Box<Head>, now: Timestamp) {
        self.put_all([head], now);
    }

    /// The same of many: a backlog is put in order at once, which takes a part of the time and of the room.
    pub fn put_all(&mut self, heads: impl IntoIterator<Item = Box<Head>>, now: Timestamp) {
        let mut new = New::default();
        for head in heads {
            let slot = (head.place, head.file.clone());
            if let Some(before) = self.heads.remove(&slot) {
                // It may be one of these.
                self.enter(std::mem::take(&mut new));
                self.uncount(&slot, &before);
            }
            *self.depths.entry(head.place).or_default() += 1;
            // It is counted all the same.
            if !head.is_set_back() {
                match head.special().not_before.filter(|at| *at > now) {
                    Some(at) => {
                        self.later.insert((at, slot.clone()));
                    }
                    None => new.ready.push(rank(&head)),
                }
                new.ages.push(head.dropped_at);
            }
            self.heads.insert(slot, head);
        }
        self.enter(new);
    }

    fn enter(&mut self, New { ready, mut ages }: New) {
        if ready.len() > self.ready.len() {
            self.ready.append(&mut ready.into_iter().collect());
        } else {
            self.ready.extend(ready);
        }
        ages.sort_unstable();
        let alike = ages.chunk_by(|one, next| one == next).map(|alike| (alike[0], alike.len()));
        if ages.len() > self.ages.len() {
            let mut counted: BTreeMap<_, _> = alike.collect();
            self.ages.iter().for_each(|(at, count)| *counted.entry(*at).or_default() += count);
            self.ages = counted;
        } else {
            alike.for_each(|(at, count)| *self.ages.entry(at).or_default() += count);
        }
    }

    /// Forgets a name; whether it was known.
    pub fn remove(&mut self, place: Place, file: &FileName) -> bool {
        let slot = (place, file.clone());
        let Some(head) = self.heads.remove(&slot) else { return false };
        self.uncount(&slot, &head);
        // A backlog of a hundred thousand that is worked off gives its memory back.
        if self.heads.len() < self.heads.capacity() / 8 {
            self.heads.shrink_to(SPARE);
        }
        true
    }

    fn uncount(&mut self, slot: &Slot, head: &Head) {
        self.ready.remove(&rank(head));
        if let Some(at) = head.special().not_before {
            self.later.remove(&(at, slot.clone()));
        }
        take_one(&mut self.depths, &head.place);
        if !head.is_set_back() {
            take_one(&mut self.ages, &head.dropped_at);
        }
    }

    /// Says of every task anew whether its pack is barred. It costs the backlog, so it is done when that changed.
    pub fn bar(&mut self, is_barred: impl Fn(&Head) -> bool, now: Timestamp) {
        let changed = self.heads.values().filter(|head| is_barred(head) != head.is_barred);
        let changed: Vec<Box<Head>> = changed.cloned().collect();
        for mut head in changed {
            self.remove(head.place, &head.file);
            head.is_barred = !head.is_barred;
            self.put(head, now);
        }
    }

    /// What is known of a name.
    pub fn get(&self, place: Place, file: &FileName) -> Option<&Head> {
        self.heads.get(&(place, file.clone())).map(Box::as_ref)
    }

    /// The first one that is meant, wherever it waits. It costs the backlog.
    pub fn find(&self, is_meant: impl Fn(&Head) -> bool) -> Option<&Head> {
        self.heads.values().map(Box::as_ref).find(|head| is_meant(head))
    }

    /// The first task in order that may start now and that `fits`.
    pub fn next(&mut self, now: Timestamp, fits: impl Fn(&Head) -> bool) -> Option<&Head> {
        self.promote(now);
        let first = self.ready.iter().find(|rank| {
            self.heads.get(&rank.slot).is_some_and(|head| !self.waits_for_namesake(head) && fits(head))
        })?;
        self.heads.get(&first.slot).map(Box::as_ref)
    }

    /// When the next task that waits for a moment may start.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// What waits for a moment.
    pub fn deferred(&self) -> impl Iterator<Item = (Place, &FileName)> {
        self.later.iter().map(|(_, (place, file))| (*place, file))
    }

    /// How many wait in `place`.
    pub fn depth(&self, place: Place) -> usize {
        self.depths.get(&place).copied().unwrap_or(0)
    }

    /// When the oldest of those was dropped that wait for nobody.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.ages.first_key_value().map(|(at, _)| *at)
    }

    /// How many wait in all.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    fn promote(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, slot)) = self.later.pop_first() else { return };
            if let Some(head) = self.heads.get(&slot) {
                self.ready.insert(rank(head));
            }
        }
    }

    /// `x~2.json` waits for `x.json`, also while that one waits for its own retry.
    fn waits_for_namesake(&self, head: &Head) -> bool {
        let base = head.file.base();
        if base == head.file.stem() || head.place == Place::Inbox {
            return false;
        }
        // What was let go does not wait for what was not.
        let before =
            if head.place == Place::Staged { &[Place::Staged][..] } else { &[Place::Pending, Place::Staged] };
        let first: Result<FileName, _> = format!("{base}.json").parse();
        first.is_ok_and(|first| before.iter().any(|place| self.get(*place, &first).is_some()))
    }
}

/// One less of what is counted; nothing is counted as none.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn rank(head: &Head) -> Rank {
    Rank::of(head.place, &head.file, head.priority, head.dropped_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::found::Special;
    use crate::spool::store::Identity;

    fn head(place: Place, file: &str, second: i64, priority: i32) -> Head {
        let identity = Identity { dev: 1, inode: 1, size: 1, mtime_ns: 0 };
        let mut head = Head::new((place, &file.parse().unwrap()), identity, at(second));
        head.priority = priority;
        head
    }

    fn not_before(second: i64) -> Special {
        Special { not_before: Some(at(second)), ..Special::default() }
    }

    fn put(queue: &mut Queue, head: Head, now: Timestamp) {
        queue.put(Box::new(head), now);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn drain(mut queue: Queue, now: i64) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(head) = queue.next(at(now), |_| true).cloned() {
            queue.remove(head.place, &head.file);
            out.push(head.file.to_string());
        }
        out
    }

    #[test]
    fn a_task_whose_pack_is_barred_lets_the_others_by_and_keeps_its_place() {
        let mut queue = Queue::default();
        let review = Some("review".to_owned());
        let special = Special { pack: review.clone(), ..Special::default() };
        put(&mut queue, head(Place::Pending, "first.json", 1, 9).saying(special), at(10));
        put(&mut queue, head(Place::Pending, "second.json", 2, 0), at(10));
        let next = |queue: &mut Queue| queue.next(at(10), |_| true).map(|it| it.file.to_string());
        queue.bar(|it| it.special().pack == review, at(10));
        assert_eq!(next(&mut queue).as_deref(), Some("second.json"));
        assert_eq!((queue.len(), queue.oldest()), (2, Some(at(2))));
        queue.bar(|_| false, at(10));
        assert_eq!(next(&mut queue).as_deref(), Some("first.json"));
        assert_eq!(queue.oldest(), Some(at(1)));
    }

    #[test]
    fn many_that_are_put_at_once_are_as_they_would_be_one_by_one() {
        let name = |n: i64| format!("t{}.json", n % 40);
        let all = |from: i64| {
            (from..from + 50).map(move |n| head(Place::Pending, &name(n), n % 7, n.try_into().unwrap()))
        };
        let (mut one, mut many) = (Queue::default(), Queue::default());
        for from in [0, 30, 60] {
            all(from).for_each(|it| put(&mut one, it, at(10)));
            many.put_all(all(from).map(Box::new), at(10));
            assert_eq!((one.len(), one.oldest(), &one.ages), (many.len(), many.oldest(), &many.ages));
        }
        let (one, many) = (drain(one, 10), drain(many, 10));
        assert_eq!((many.len(), one), (40, many));
    }

    #[test]
    fn staged_first_then_priority_then_age() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Inbox, "old.json", 10, 0), at(100));
        put(&mut queue, head(Place::Pending, "young.json", 20, 0), at(100));
        put(&mut queue, head(Place::Pending, "urgent.json", 30, 5), at(100));
        put(&mut queue, head(Place::Staged, "staged.json", 40, -9), at(100));
        assert_eq!(drain(queue, 100), ["staged.json", "urgent.json", "old.json", "young.json"]);
    }

    #[test]
    fn a_waiting_task_overtakes_a_more_important_one_in_time() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Pending, "patient.json", 0, 0), at(0));
        put(&mut queue, head(Place::Pending, "urgent.json", 299, 5), at(299));
        assert_eq!(queue.next(at(299), |_| true).unwrap().file.as_str(), "urgent.json");
        put(&mut queue, head(Place::Pending, "later.json", 301, 5), at(301));
        queue.remove(Place::Pending, &"urgent.json".parse().unwrap());
        assert_eq!(queue.next(at(301), |_| true).unwrap().file.as_str(), "patient.json");
    }

    #[test]
    fn a_task_for_later_waits_for_its_moment() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Pending, "later.json", 0, 9).saying(not_before(50)), at(0));
        assert!(queue.next(at(49), |_| true).is_none());
        assert_eq!(queue.next_due(), Some(at(50)));
        assert!(queue.next(at(50), |_| true).is_some());
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn a_held_task_is_counted_and_never_next() {
        let mut queue = Queue::default();
        let mut held = head(Place::Staged, "held.json", 1, 9);
        held.is_held = true;
        let later = held.clone().saying(not_before(50));
        put(&mut queue, held, at(10));
        put(&mut queue, head(Place::Pending, "free.json", 5, 0), at(10));
        assert_eq!((queue.len(), queue.depth(Place::Staged), queue.oldest()), (2, 1, Some(at(5))));
        assert_eq!(queue.next(at(10), |_| true).unwrap().file.as_str(), "free.json");
        put(&mut queue, later, at(10));
        assert_eq!(queue.next_due(), None);
        put(&mut queue, head(Place::Staged, "held.json", 1, 0), at(10));
        assert_eq!(queue.next(at(10), |_| true).unwrap().file.as_str(), "held.json");
        assert!(queue.remove(Place::Staged, &"held.json".parse().unwrap()));
        assert_eq!((queue.len(), queue.oldest()), (1, Some(at(5))));
    }

    #[test]
    fn a_namesake_waits_for_the_first() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Pending, "x.json", 5, 0).saying(not_before(1000)), at(10));
        put(&mut queue, head(Place::Pending, "x~2.json", 6, 0), at(10));
        assert!(queue.next(at(10), |_| true).is_none());
        queue.remove(Place::Pending, &"x.json".parse().unwrap());
        assert!(queue.next(at(10), |_| true).is_some());
    }

    #[test]
    fn what_waits_where_and_since_when_is_counted_as_it_comes_and_goes() {
        let mut queue = Queue::default();
        for (n, place) in [Place::Pending, Place::Inbox, Place::Pending].into_iter().enumerate() {
            let second = i64::try_from(n).unwrap() * 10 + 10;
            put(&mut queue, head(place, &format!("t{n}.json"), second, 0), at(100));
            put(&mut queue, head(place, &format!("t{n}.json"), second, 1), at(100));
        }
        let counts = |queue: &Queue| (queue.depth(Place::Pending), queue.depth(Place::Inbox), queue.oldest());
        assert_eq!(counts(&queue), (2, 1, Some(at(10))));
        queue.remove(Place::Pending, &"t0.json".parse().unwrap());
        assert_eq!(counts(&queue), (1, 1, Some(at(20))));
        assert_eq!(queue.depth(Place::Staged), 0);
        for n in 1..3 {
            let file: FileName = format!("t{n}.json").parse().unwrap();
            for place in [Place::Pending, Place::Inbox] {
                queue.remove(place, &file);
            }
        }
        assert_eq!(counts(&queue), (0, 0, None));
    }

    #[test]
    fn a_backlog_that_was_worked_off_gives_its_memory_back() {
        let mut queue = Queue::default();
        let name = |n: i64| format!("t{n}.json");
        (0..20_000).for_each(|n| put(&mut queue, head(Place::Pending, &name(n), n, 0), at(0)));
        assert!((0..20_000).all(|n| queue.remove(Place::Pending, &name(n).parse().unwrap())));
        assert!(queue.is_empty() && queue.heads.capacity() < 2_000, "{}", queue.heads.capacity());
    }

    #[test]
    fn what_was_let_go_does_not_wait_for_a_namesake_that_was_not() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Pending, "x.json", 5, 0), at(10));
        put(&mut queue, head(Place::Staged, "x~2.json", 6, 0), at(10));
        assert_eq!(queue.next(at(10), |head| head.place == Place::Staged).unwrap().file.as_str(), "x~2.json");
        put(&mut queue, head(Place::Staged, "x.json", 7, 0), at(10));
        assert_eq!(queue.next(at(10), |head| head.place == Place::Staged).unwrap().file.as_str(), "x.json");
    }

    #[test]
    fn a_new_version_replaces_the_old_one() {
        let mut queue = Queue::default();
        put(&mut queue, head(Place::Pending, "x.json", 5, 0), at(10));
        put(&mut queue, head(Place::Pending, "x.json", 6, 7), at(10));
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.next(at(10), |_| true).unwrap().priority, 7);
        assert!(!queue.remove(Place::Inbox, &"x.json".parse().unwrap()));
    }

    #[test]
    fn a_task_can_be_looked_up_by_what_is_meant() {
        let mut queue = Queue::default();
        assert!(queue.is_empty());
        put(&mut queue, head(Place::Pending, "x.json", 5, 7), at(10));
        assert!(!queue.is_empty());
        assert_eq!(queue.find(|head| head.priority == 7).unwrap().file.as_str(), "x.json");
        assert!(queue.find(|head| head.priority == 8).is_none());
        assert_eq!(queue.get(Place::Pending, &"x.json".parse().unwrap()).unwrap().priority, 7);
    }

    #[test]
    fn a_moment_that_has_come_is_none_to_wait_for() {
        let mut queue = Queue::default();
        let due = head(Place::Pending, "x.json", 5, 0).saying(not_before(10));
        put(&mut queue, due, at(10));
        assert_eq!(queue.next_due(), None);
        assert!(queue.next(at(10), |_| true).is_some());
    }
}
