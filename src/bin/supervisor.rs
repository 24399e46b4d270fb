//! The one who looks after the watchers of a root.

use agent_worker::cli;
use agent_worker::config::Exit;

fn main() -> Exit {
    cli::main(cli::supervisor::run)
}
