//! What may not be done to this machine is done to a kernel of its own: it serves NFS to itself, stops doing so while an
//! agent works, and has its clock set by hours.

use crate::uml;
use crate::world::World;

#[test]
fn nfs_is_refused_or_right_and_a_clock_that_is_set_changes_no_verdict() {
    let world = World::new();
    let Some(said) = uml::booted(&world, "tests/surroundings/kernel.sh") else { return };
    let told = |name: &str| said.get(name).map_or("", String::as_str);
    let number = |name: &str| told(name).parse::<u64>().unwrap_or(u64::MAX);

    assert_eq!(told("mounted"), "nfs", "{said:#?}");
    assert_eq!(told("refused"), "78", "{said:#?}");
    assert!(told("refusal").contains("a task could run twice") && told("refusal").contains("--allow-nfs"));
    // Where it is allowed: two of a name on this machine, the server gone and back, a death.
    assert_eq!((told("second"), told("second-why")), ("78", "holds worker marie already"), "{said:#?}");
    assert_eq!((told("waiting"), told("away"), told("adopted")), ("lives", "1", "1"), "{said:#?}");
    assert_eq!((told("stopped"), told("fsck"), told("left")), ("0", "0", "0"), "{said:#?}");
    assert_eq!(told("warned"), "holds on this machine only", "{said:#?}");
    assert!(number("by-link") > 0, "NFS has no RENAME_NOREPLACE: {said:#?}");

    for name in ["forwards-age", "backwards-age"] {
        assert!(number(name) < 60, "{name}: {said:#?}");
    }
    assert_eq!((told("long-starts"), told("worker"), told("restarts")), ("1", "same", "0"), "{said:#?}");
    assert!(["", "\"retry_count\":0", "\"retry_count\": 0"].contains(&told("long")), "{said:#?}");
}
