//! The course of a run, moment by moment.

use super::*;

fn at(seconds: u64) -> Ticks {
    Ticks(Duration::from_secs(seconds))
}

fn course() -> Course {
    let limits = Limits {
        wall: Duration::from_mins(2),
        silence: Duration::from_mins(1),
        quiet: Duration::from_mins(5),
        output: 1000,
        memory: Some(1000),
    };
    Course::new(limits, at(0))
}

#[test]
fn a_run_is_asked_then_told_then_killed() {
    let mut course = course();
    course.heard(at(100));
    assert_eq!(course.tick(at(120)), [Order::Interrupt]);
    assert_eq!(course.ended_by(), Some(EndedBy::Timeout));
    assert_eq!(course.tick(at(121)), []);
    assert_eq!(course.tick(at(122)), [Order::Terminate]);
    assert_eq!(course.tick(at(127)), [Order::Kill]);
    assert_eq!(course.tick(at(128)), [Order::Kill], "again, while it is still there");
}

#[test]
fn silence_is_counted_from_the_last_line() {
    let mut course = course();
    course.heard(at(50));
    assert!(!course.tick(at(109)).contains(&Order::Interrupt));
    assert_eq!(course.tick(at(110)).last(), Some(&Order::Interrupt));
    assert_eq!(course.ended_by(), Some(EndedBy::Silence));
}

#[test]
fn a_quiet_agent_is_told_once_and_again_after_a_sign_of_life() {
    let limits = Limits {
        wall: Duration::from_hours(1),
        silence: Duration::from_mins(10),
        quiet: Duration::from_mins(5),
        output: 1000,
        memory: Some(1000),
    };
    let mut course = Course::new(limits, at(0));
    assert_eq!(course.next_moment(), at(300));
    let told = [Order::Warn("No sign of progress for 300s: the task may be stuck".to_owned())];
    assert_eq!(course.tick(at(300)), told);
    assert_eq!(course.tick(at(301)), []);
    assert_eq!(course.next_moment(), at(600), "the limit on silence is next");
    course.heard(at(400));
    assert_eq!(course.tick(at(700)), told);
}

#[test]
fn time_in_which_nobody_could_look_counts_for_nothing() {
    let mut course = course();
    for second in 1..=50 {
        course.watched(at(second));
    }
    // Suspended, or the watcher stopped, for an hour.
    course.watched(at(3650));
    assert_eq!(course.tick(at(3650)), []);
    assert_eq!(course.spent(at(3650)), Duration::from_secs(50));
    course.watched(at(3652));
    assert_eq!(course.next_moment(), at(3660), "a minute of silence, of which the agent had 52 s");
    course.watched(at(3655));
    course.watched(at(3660));
    assert_eq!(course.tick(at(3660)), [Order::Interrupt]);
    course.watched(at(7260));
    assert_eq!(course.tick(at(7260)), [], "its two seconds to obey count as well");
    assert_eq!(course.tick(at(7262)), [Order::Terminate]);
}

#[test]
fn a_run_that_is_taken_up_has_the_rest_of_its_time_and_was_heard_just_now() {
    let mut course = Course::taken_up(course().limits, Duration::from_secs(100), at(1000));
    assert_eq!((course.spent(at(1000)), course.last_sign()), (Duration::from_secs(100), at(1000)));
    course.watched(at(1001));
    assert_eq!(course.spent(at(1001)), Duration::from_secs(101), "it is watched from now on");
}

#[test]
fn people_are_warned_at_five_sixths_and_eleven_twelfths() {
    let mut course = course();
    course.heard(at(99));
    assert_eq!(course.next_moment(), at(100));
    assert_eq!(course.tick(at(100)), [Order::Warn("Execution time: 100s of 120s limit".to_owned())]);
    assert_eq!(course.tick(at(101)), []);
    assert_eq!(course.tick(at(110)), [Order::Warn("Execution time: 110s of 120s limit".to_owned())]);
}

#[test]
fn an_agent_that_hangs_after_its_result_is_ended() {
    let mut course = course();
    assert!(!course.has_answered());
    assert_eq!(course.answered(at(5)), [Order::CloseStdin]);
    assert_eq!(course.tick(at(14)), []);
    assert!(course.has_answered());
    assert_eq!(course.tick(at(15)), [Order::CloseStdin, Order::Terminate]);
    assert!(!course.has_answered(), "it is being ended");
    assert_eq!(course.ended_by(), Some(EndedBy::HangAfterResult));
    assert_eq!(course.tick(at(20)), [Order::Kill]);
}

#[test]
fn a_turn_after_the_first_result_is_work_again() {
    let mut course = course();
    course.answered(at(5));
    course.turn_began();
    course.heard(at(6));
    assert_eq!(course.tick(at(30)), [], "the limits of a working run hold again");
}

fn message(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[test]
fn a_result_closes_nothing_while_something_that_was_said_is_not_taken_up() {
    let mut course = course();
    for number in [1, 2] {
        course.told(message(number), at(1));
    }
    course.took_up(message(1));
    assert_eq!(course.answered(at(5)), []);
    assert!(course.hears());
    course.took_up(message(2));
    course.turn_began();
    assert_eq!(course.tick(at(20)), [], "it is at work");
    assert_eq!(course.answered(at(30)), [Order::CloseStdin]);
    assert!(!course.hears());
}

#[test]
fn what_was_taken_up_is_answered_by_the_next_result() {
    let mut course = course();
    course.told(message(1), at(1));
    course.took_up(message(1));
    assert_eq!(course.answered(at(5)), [Order::CloseStdin]);
}

#[test]
fn what_is_never_taken_up_keeps_nothing_open_for_ever() {
    let mut course = course();
    course.told(message(1), at(1));
    assert_eq!(course.answered(at(5)), []);
    course.told(message(2), at(10));
    assert_eq!((course.tick(at(19)), course.next_moment()), (vec![], at(20)));
    assert_eq!(course.tick(at(20)), [Order::CloseStdin]);
    assert!(!course.hears() && course.ended_by().is_none());
    assert_eq!(course.tick(at(29)), [], "it may still answer what it finds in the pipe");
    assert_eq!(course.tick(at(30)), [Order::CloseStdin, Order::Terminate]);
}

#[test]
fn an_agent_that_owes_an_answer_is_not_asked_to_end_a_turn_that_has_not_begun() {
    let mut course = course();
    course.told(message(1), at(1));
    course.answered(at(2));
    assert_eq!(course.end(EndedBy::Cancel, at(3)), [Order::CloseStdin, Order::Terminate]);
}

#[test]
fn too_much_output_ends_it_and_the_first_reason_stays() {
    let mut course = course();
    assert_eq!(course.measured(1000, at(1)), []);
    assert_eq!(course.measured(1001, at(1)), [Order::Kill], "what fills a disk is not asked first");
    assert_eq!(course.measured(2000, at(1)), [], "once is enough");
    assert_eq!(course.end(EndedBy::Stop, at(2)), []);
    assert_eq!(course.ended_by(), Some(EndedBy::OutputLimit));
    assert_eq!(course.kill(EndedBy::Stop, at(3)), [Order::Kill]);
    assert_eq!(course.ended_by(), Some(EndedBy::OutputLimit));
}

#[test]
fn too_much_memory_ends_it_the_faster_the_more_it_is() {
    let mut course = course();
    assert_eq!(course.weighed(1000, at(1)), []);
    assert_eq!(course.weighed(1001, at(1)), [Order::Interrupt]);
    assert_eq!(course.weighed(1250, at(1)), [], "it is asked already");
    assert_eq!((course.ended_by(), course.next_moment()), (Some(EndedBy::MemoryLimit), at(2)));
    assert_eq!(course.tick(at(2)), [Order::Terminate]);
    assert_eq!(course.weighed(1251, at(2)), [Order::Kill], "it grows all the same");
    assert_eq!(course.weighed(5000, at(2)), [], "once is enough");

    let mut fast = self::course();
    assert_eq!(fast.weighed(1251, at(1)), [Order::Kill]);
    assert_eq!(fast.ended_by(), Some(EndedBy::MemoryLimit));

    let mut stopped = self::course();
    stopped.end(EndedBy::Stop, at(1));
    assert_eq!(stopped.weighed(9000, at(1)), [Order::Kill]);
    assert_eq!(stopped.ended_by(), Some(EndedBy::Stop), "the first reason stays");

    let mut answered = self::course();
    answered.answered(at(1));
    assert_eq!(answered.weighed(1001, at(1)), [Order::CloseStdin, Order::Terminate]);
    let mut unbound = Course::new(Limits { memory: None, ..answered.limits }, at(0));
    assert_eq!(unbound.weighed(u64::MAX, at(1)), []);
}

#[test]
fn one_that_was_asked_to_end_may_not_fill_the_disk_meanwhile() {
    let mut course = course();
    course.end(EndedBy::Stop, at(1));
    assert_eq!(course.measured(1001, at(1)), [Order::Kill]);
    assert_eq!(course.ended_by(), Some(EndedBy::Stop), "the first reason stays");
}
