//! The operator's hand.

use agent_worker::cli;
use agent_worker::config::Exit;

fn main() -> Exit {
    cli::main(cli::agentctl::run)
}
