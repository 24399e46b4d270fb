//! What is written beside a task when it ends: for programs, and for the person who looks into `failed/`.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::task::acceptance::Acceptance;
use crate::task::text::{ascii_controls, shell_word, shown};
use crate::task::{Attempt, ErrorCode, FileName, RunId, TaskFile, TaskName, TaskState, Tokens, WorkerName};

/// The longest reason, in bytes: the agent's own words are in its output.
const REASON_MAX: usize = 4096;

/// `artifacts/<run_id>/result.json`.
#[derive(Serialize)]
struct ResultPaper<'a> {
    run_id: Option<RunId>,
    task: TaskName,
    worker: &'a WorkerName,
    state: Option<TaskState>,
    error_code: Option<ErrorCode>,
    failure_reason: Option<&'a str>,
    attempts: &'a [Attempt],
    cost_usd: f64,
    tokens: Tokens,
    started_at: Option<Timestamp>,
    ended_at: Timestamp,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    denied_tools: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<VerifyPaper>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<serde_json::Value>,
}

/// What the acceptance command came to.
#[derive(Serialize)]
struct VerifyPaper {
    passed: bool,
    exit: Option<i32>,
}

/// `failed/<file>.reason`.
#[derive(Serialize)]
struct ReasonPaper<'a> {
    task: Option<TaskName>,
    file: &'a FileName,
    worker: &'a WorkerName,
    run_id: Option<RunId>,
    state: TaskState,
    error_code: Option<ErrorCode>,
    meaning: Option<&'static str>,
    reason: String,
    attempts: usize,
    failed_at: Timestamp,
    retry: String,
}

/// The outcome for programs, with what was written down beside it: what the acceptance command came to, and what the run
/// changed in a repository.
pub(super) fn result(
    worker: &WorkerName,
    (file, task): (&FileName, &TaskFile),
    (acceptance, changes): (Option<Acceptance>, Option<serde_json::Value>),
    at: Timestamp,
) -> Vec<u8> {
    let record = &task.record;
    let attempts = &record.attempts;
    render(&ResultPaper {
        run_id: record.run_id,
        task: task.name(file),
        worker,
        state: record.state,
        error_code: record.error_code,
        failure_reason: record.failure_reason.as_deref(),
        attempts,
        cost_usd: record.cost_usd(),
        tokens: record.tokens(),
        started_at: attempts.first().map(|it| it.started_at),
        ended_at: attempts.last().and_then(|it| it.ended_at).unwrap_or(at),
        denied_tools: &record.denied_tools,
        verify: acceptance.map(|it| VerifyPaper { passed: it.passed, exit: it.exit }),
        changes: changes.or_else(|| serde_json::to_value(record.changes.as_ref()?).ok()),
    })
}

/// Why a task failed.
pub(super) fn reason(
    worker: &WorkerName,
    (file, filed): (&FileName, &FileName),
    task: &TaskFile,
    at: Timestamp,
) -> Vec<u8> {
    let record = &task.record;
    render(&ReasonPaper {
        task: Some(task.name(file)),
        file: filed,
        worker,
        run_id: record.run_id,
        state: record.state.unwrap_or(TaskState::Failed),
        error_code: record.error_code,
        meaning: record.error_code.map(ErrorCode::meaning),
        reason: shown(record.failure_reason.as_deref().unwrap_or("no reason was recorded"), REASON_MAX),
        attempts: record.attempts.len(),
        failed_at: at,
        retry: retry_hint(worker, filed),
    })
}

/// Why a drop is no task.
pub(super) fn rejection(
    worker: &WorkerName,
    file: &FileName,
    (code, why): (ErrorCode, &str),
    at: Timestamp,
) -> Vec<u8> {
    render(&ReasonPaper {
        task: file.task_name(),
        file,
        worker,
        run_id: None,
        state: TaskState::Failed,
        error_code: Some(code),
        meaning: Some(code.meaning()),
        reason: shown(why, REASON_MAX),
        attempts: 0,
        failed_at: at,
        retry: retry_hint(worker, file),
    })
}

fn retry_hint(worker: &WorkerName, file: &FileName) -> String {
    let file = shell_word(&format!("tasks/{worker}/failed/{}", file.as_str()));
    format!("mend the cause, then: mv {file} tasks/{worker}/pending/")
}

/// As JSON that can be printed on a terminal as it is, whatever stands in its strings.
fn render(paper: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string_pretty(paper).unwrap_or_default();
    let mut bytes = ascii_controls(&json).into_bytes();
    bytes.push(b'\n');
    bytes
}
