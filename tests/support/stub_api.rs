//! A stand-in for the Messages API on a loopback port, so that the real CLI can be run without an account.
//!
//! It answers `POST /v1/messages` as the [`Scenario`] of the moment says, streaming or not, and keeps what it was
//! asked. A scenario with a tool asks for it once and says a closing word when the tool has answered. It knows
//! nothing of money, models or prompts.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

#[path = "stub_faults.rs"]
mod faults;

pub use faults::{Break, seconds_ahead};

/// What the API does with the requests that come.
#[derive(Clone, Debug)]
pub enum Scenario {
    /// It says a text.
    Text(String),
    /// It says the last text that it was sent by the user.
    Echo,
    /// It asks for a tool, and when that has answered says a closing word.
    Tool {
        /// The tool's name.
        name: String,
        /// What it is given.
        input: Value,
    },
    /// It asks for one tool after the other, then says a closing word.
    Tools(Vec<(&'static str, Value)>),
    /// It asks for the same tool again and again.
    ToolLoop {
        /// The tool's name.
        name: String,
        /// What it is given.
        input: Value,
    },
    /// It refuses with a status and a kind of error.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The kind of error.
        kind: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
    },
    /// It says one word a time and waits for [`StubApi::open_gate`] before the last.
    Gated(String),
    /// It accepts the request and says nothing until the gate is opened.
    Silent,
    /// It says a text, with further headers.
    Headed(String, Vec<(&'static str, String)>),
    /// It says a text, and stops for this reason.
    Stopped(String, &'static str),
    /// It begins to answer and breaks off.
    Broken(Break),
}

impl Scenario {
    /// The tool that writes a file.
    pub fn write_file(path: &str, content: &str) -> Self {
        Self::Tool { name: "Write".to_owned(), input: json!({"file_path": path, "content": content}) }
    }

    /// The tool that runs a command.
    pub fn bash(command: &str) -> Self {
        Self::Tool {
            name: "Bash".to_owned(),
            input: json!({"command": command, "description": "Run a command", "timeout": 120_000}),
        }
    }

    /// A command that runs until the file `gate` is there.
    pub fn bash_until(gate: &str) -> Self {
        Self::bash(&format!("until [ -e '{gate}' ]; do sleep 0.05; done; echo opened"))
    }

    /// A tool that nobody has allowed.
    pub fn denied() -> Self {
        Self::Tool {
            name: "WebFetch".to_owned(),
            input: json!({"url": "http://127.0.0.1:9/", "prompt": "what is it"}),
        }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its path without the query.
    pub path: String,
    /// Its body; `null` if it was no JSON.
    pub body: Value,
}

impl Request {
    /// The last text that a user wrote: the CLI's own reminders, which stand between tags, are passed over.
    pub fn last_text(&self) -> String {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = messages.iter().filter(|message| message["role"] == "user").flat_map(texts_of);
        let mut plain = texts.filter(|text| !text.trim_start().starts_with('<'));
        plain.next_back().unwrap_or_default()
    }

    /// How many tools have answered in this conversation.
    pub fn tool_results(&self) -> usize {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let blocks = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
        blocks.filter(|block| block["type"] == "tool_result").count()
    }
}

/// The texts of a message: its content is one, or blocks of which some are.
fn texts_of(message: &Value) -> Vec<String> {
    let content = &message["content"];
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = content.as_str().into_iter().chain(blocks.iter().filter_map(|block| block["text"].as_str()));
    texts.map(str::to_owned).collect()
}

#[derive(Debug)]
struct State {
    scenario: Scenario,
    requests: Vec<Request>,
    is_gate_open: bool,
    is_over: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let value = change(&mut state);
        self.changed.notify_all();
        value
    }

    fn wait(&self, within: Duration, until: impl Fn(&State) -> bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, within, |state| !until(state) && !state.is_over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        until(&state)
    }
}

/// The API. It ends when it is dropped.
#[derive(Debug)]
pub struct StubApi {
    /// What `ANTHROPIC_BASE_URL` is set to.
    pub base_url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl StubApi {
    /// Starts it on a free port.
    pub fn start(scenario: Scenario) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let address = listener.local_addr().expect("a bound port has an address");
        let state = State { scenario, requests: Vec::new(), is_gate_open: false, is_over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &theirs));
        Self { base_url: format!("http://{address}"), address, shared }
    }

    /// Changes what is done with the requests that come from now on.
    pub fn play(&self, scenario: Scenario) {
        self.shared.with(|state| state.scenario = scenario);
    }

    /// Lets go what waits at the gate, now and later.
    pub fn open_gate(&self) {
        self.shared.with(|state| state.is_gate_open = true);
    }

    /// The requests for messages that have come so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.with(|state| state.requests.clone())
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.shared.with(|state| state.requests.len())
    }

    /// Waits until `n` requests have come; whether they did.
    pub fn wait_for_requests(&self, n: usize, within: Duration) -> bool {
        self.shared.wait(within, |state| state.requests.len() >= n)
    }
}

impl Drop for StubApi {
    fn drop(&mut self) {
        self.shared.with(|state| state.is_over = true);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.with(|state| state.is_over) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is no failure of ours.
        thread::spawn(move || serve(stream, &shared).ok());
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut connection = Connection { stream, headers: Vec::new() };
    while let Some((method, request)) = read_request(&mut reader)? {
        if method != "POST" || request.path != "/v1/messages" {
            connection.refuse(404, "not_found_error", &[])?;
            continue;
        }
        let scenario = shared.with(|state| {
            state.requests.push(request.clone());
            state.scenario.clone()
        });
        connection.answer(&scenario, &request, shared)?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, Request)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    Ok(Some((method, Request { path, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })))
}

struct Connection {
    stream: TcpStream,
    /// What stands in the head of the next answer besides.
    headers: Vec<(&'static str, String)>,
}

impl Connection {
    fn answer(&mut self, scenario: &Scenario, request: &Request, shared: &Shared) -> io::Result<()> {
        let tool = |name: &str, input: &Value| {
            json!([{"type": "text", "text": "Calling a tool."},
                   {"type": "tool_use", "id": format!("toolu_{}", shared.with(|s| s.requests.len())),
                    "name": name, "input": input}])
        };
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        match scenario {
            Scenario::Text(said) => self.say(request, &text(said)),
            Scenario::Echo => self.say(request, &text(&request.last_text())),
            Scenario::Tool { .. } if request.tool_results() > 0 => self.say(request, &text("All done.")),
            Scenario::Tools(tools) => match tools.get(request.tool_results()) {
                Some((name, input)) => self.say(request, &tool(name, input)),
                None => self.say(request, &text("All done.")),
            },
            Scenario::Tool { name, input } | Scenario::ToolLoop { name, input } => {
                self.say(request, &tool(name, input))
            }
            Scenario::Refuse { status, kind, headers } => self.refuse(*status, kind, headers),
            Scenario::Gated(said) => {
                self.begin(request)?;
                self.event(&json!({"type": "content_block_start", "index": 0,
                                   "content_block": {"type": "text", "text": ""}}))?;
                self.delta("wait ")?;
                pass_gate(shared)?;
                self.delta(said)?;
                self.end_block(0)?;
                self.finish("end_turn")
            }
            Scenario::Silent => {
                pass_gate(shared)?;
                self.say(request, &text("late"))
            }
            Scenario::Headed(said, headers) => {
                self.headers.clone_from(headers);
                let answered = self.say(request, &text(said));
                self.headers.clear();
                answered
            }
            Scenario::Stopped(said, reason) => self.say_until(request, &text(said), reason),
            Scenario::Broken(how) => self.break_off(*how, request, shared),
        }
    }

    fn refuse(&mut self, status: u16, kind: &str, headers: &[(&'static str, String)]) -> io::Result<()> {
        let is_credit = headers.iter().any(|(name, _)| *name == "x-stub");
        let message = if is_credit {
            "Your credit balance is too low to access the Anthropic API."
        } else {
            "refused by the stub"
        };
        let body = json!({"type": "error", "error": {"type": kind, "message": message}}).to_string();
        let mut head = format!(
            "HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&[name, ": ", value, "\r\n"].concat());
        }
        self.stream.write_all(format!("{head}\r\n{body}").as_bytes())
    }

    fn say(&mut self, request: &Request, content: &Value) -> io::Result<()> {
        let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
        let stop = if blocks.iter().any(|b| b["type"] == "tool_use") { "tool_use" } else { "end_turn" };
        self.say_until(request, content, stop)
    }

    fn say_until(&mut self, request: &Request, content: &Value, stop: &str) -> io::Result<()> {
        let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
        if request.body["stream"] != true {
            return self.whole(request, content, stop);
        }
        self.begin(request)?;
        for (index, block) in blocks.iter().enumerate() {
            self.block(index, block)?;
        }
        self.finish(stop)
    }

    /// A message that was not asked for as a stream.
    fn whole(&mut self, request: &Request, content: &Value, stop: &str) -> io::Result<()> {
        let mut message = message(request);
        message["content"] = content.clone();
        message["stop_reason"] = json!(stop);
        let body = message.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(format!("{head}{body}").as_bytes())
    }

    fn begin(&mut self, request: &Request) -> io::Result<()> {
        let more = self.headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat());
        let more: String = more.collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_stub\r\n";
        self.stream.write_all(format!("{head}{more}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
        self.event(&json!({"type": "message_start", "message": message(request)}))
    }

    fn block(&mut self, index: usize, block: &Value) -> io::Result<()> {
        let mut start = block.clone();
        let delta = if block["type"] == "text" {
            start["text"] = json!("");
            json!({"type": "text_delta", "text": block["text"]})
        } else {
            start["input"] = json!({});
            json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})
        };
        self.event(&json!({"type": "content_block_start", "index": index, "content_block": start}))?;
        self.event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))?;
        self.end_block(index)
    }

    fn delta(&mut self, text: &str) -> io::Result<()> {
        let delta = json!({"type": "text_delta", "text": text});
        self.event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }

    fn end_block(&mut self, index: usize) -> io::Result<()> {
        self.event(&json!({"type": "content_block_stop", "index": index}))
    }

    fn finish(&mut self, stop: &str) -> io::Result<()> {
        self.event(&json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
                           "usage": {"output_tokens": 50}}))?;
        self.event(&json!({"type": "message_stop"}))?;
        self.stream.write_all(b"0\r\n\r\n")
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        let name = event["type"].as_str().unwrap_or_default();
        let text = format!("event: {name}\ndata: {event}\n\n");
        self.stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
        self.stream.flush()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

fn message(request: &Request) -> Value {
    json!({"id": "msg_stub", "type": "message", "role": "assistant", "model": request.body["model"], "content": [],
           "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1000, "output_tokens": 1,
           "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}})
}

/// Waits for the gate; an error when the test is over before it opened.
fn pass_gate(shared: &Shared) -> io::Result<()> {
    let opened = shared.wait(Duration::from_mins(10), |state| state.is_gate_open);
    if opened { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}
