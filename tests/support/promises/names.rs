//! No overwriting: a name that is taken is left to whoever has it.

use super::{Host, filed, open, place, submit, told};

/// Four tasks of one name, of which two come while the first is at work and one after all have ended.
pub fn nothing_is_written_over(host: &impl Host) {
    let gate = format!("gate={}/same", host.there());
    submit(host, "same", &format!("{gate}; succeed text=one"), "");
    host.until("the first is at work", || (!told(host, "same", "message").is_empty()).then_some(()));
    let drop = |text: &str| {
        let task = format!(r#"{{"prompt":"fake: succeed text={text}"}}"#);
        host.operator(&format!("echo '{task}' > {}/tasks/marie/pending/same.json", host.there()));
    };
    for (text, name) in [("two", "same~2"), ("three", "same~3")] {
        drop(text);
        let aside = place(host, "pending").join(format!("{name}.json"));
        host.until(&format!("{name} steps aside"), || aside.exists().then_some(()));
    }
    open(host, "same");
    for (name, text) in [("same", "one"), ("same~2", "two"), ("same~3", "three")] {
        assert_eq!(filed(host, "completed", name)["result"], text);
    }
    drop("four");
    for (name, text) in [("same", "one"), ("same~2", "two"), ("same~3", "three"), ("same~4", "four")] {
        assert_eq!(filed(host, "completed", name)["result"], text, "{name}");
    }
}
