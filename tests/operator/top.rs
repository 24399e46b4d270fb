//! `agentctl top` in a program that was built without it.

use crate::root::Root;

#[test]
fn without_the_feature_it_says_how_to_have_it() {
    let told = Root::new().run(&["top"]);
    assert_eq!((told.code, told.out.as_str()), (69, ""));
    assert!(told.err.contains("built without `top`"), "{}", told.err);
    assert!(told.err.contains("cargo build --release --features top"), "{}", told.err);
}
