//! One named worker.

use agent_worker::cli;
use agent_worker::config::Exit;

fn main() -> Exit {
    cli::main(cli::watcher::run)
}
