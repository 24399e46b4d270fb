//! The whole way of an event, from the macro to the file.

use super::*;
use crate::clock::SystemClock;

fn logged(format: LogFormat, level: &str, say: impl FnOnce(&LogHandle)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("marie.log");
    let options = LogOptions {
        format,
        level: level.to_owned(),
        file: Some(path.clone()),
        rotation: Rotation::default(),
        journal_stream: None,
        color: false,
        redactor: Redactor::default(),
    };
    let worker = "marie".parse().unwrap();
    let (subscriber, handle, complaint) =
        build(&options, Some(&worker), SystemClock::shared(), (std::io::sink(), None)).unwrap();
    assert!(complaint.is_none());
    tracing::subscriber::with_default(subscriber, || say(&handle));
    drop(handle);
    std::fs::read_to_string(path).unwrap()
}

fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_carries_the_fields_of_its_spans() {
    let text = logged(LogFormat::Json, "info", |_| {
        let run =
            tracing::info_span!("run", task = "t1", run_id = "r1", correlation_id = tracing::field::Empty);
        run.record("correlation_id", "c1");
        let _entered = run.enter();
        tracing::warn!(error_code = "E006", attempt = 2, "the API failed with {}", 529);
    });
    let lines = objects(&text);
    let line = lines[0].as_object().unwrap();
    let names: Vec<_> = line.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["time", "level", "worker", "task", "run_id", "correlation_id", "error_code", "attempt", "message"]
    );
    assert_eq!(
        (&line["level"], &line["worker"], &line["attempt"]),
        (&"WARN".into(), &"marie".into(), &2.into())
    );
    assert_eq!(line["message"], "the API failed with 529");
}

#[test]
fn secrets_are_masked_wherever_they_stand() {
    let text = logged(LogFormat::Bracket, "info", |_| {
        tracing::info!(header = "Authorization: Bearer abcdef0123456789", "key sk-ant-api03-hush");
    });
    assert!(!text.contains("hush") && !text.contains("abcdef"), "{text}");
}

#[test]
fn the_level_can_be_changed_while_it_runs() {
    let text = logged(LogFormat::Json, "INFO", |handle| {
        tracing::debug!("unheard");
        handle.set_level("debug").unwrap();
        tracing::debug!("heard");
        assert!(handle.set_level("loud=very=much").is_err());
    });
    let said: Vec<_> = objects(&text).into_iter().map(|line| line["message"].clone()).collect();
    assert_eq!(said, ["heard"]);
}

#[test]
fn an_error_is_written_with_its_causes() {
    let text = logged(LogFormat::Json, "info", |_| {
        let parse = "x".parse::<u8>().unwrap_err();
        let error = LogError::Level {
            text: "x".to_owned(),
            source: EnvFilter::builder().parse("a=b=c").unwrap_err(),
        };
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(error, plain = %parse, "it failed");
    });
    let line = &objects(&text)[0];
    assert!(line["error"].as_str().unwrap().contains(": "), "{line}");
}

#[test]
fn a_file_that_cannot_be_opened_is_told_and_not_fatal() {
    let options = LogOptions {
        format: LogFormat::Json,
        level: "info".to_owned(),
        file: Some("/proc/no/such/place.log".into()),
        rotation: Rotation::default(),
        journal_stream: None,
        color: false,
        redactor: Redactor::default(),
    };
    let (subscriber, handle, complaint) =
        build(&options, None, SystemClock::shared(), (std::io::sink(), None)).unwrap();
    assert!(complaint.is_some());
    tracing::subscriber::with_default(subscriber, || tracing::info!("still here"));
    assert_eq!(handle.dropped(), 0);
}
