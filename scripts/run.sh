#!/usr/bin/env bash
# Builds this clone and runs the supervisor with its three workers in the foreground, until Ctrl-C.
#
#   scripts/run.sh [arguments of `supervisor up`…]
#
# SHARED_ROOT   the root of the queue (default: shared/ in the clone)
# CLAUDE_BIN    the Claude CLI (default: the `claude` on PATH)
# PROFILE       the cargo profile (default: quick, which halves the build; `release` for a server)
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
root=${SHARED_ROOT:-$repo/shared}
case $root in /*) ;; *) root=$PWD/$root ;; esac
profile=${PROFILE:-quick}

say() { printf '%s\n' "$*" >&2; }

# Whether the caller already decided about the agent: then nothing is added to it.
agent_given=no
for argument in "$@"; do
  case $argument in
    --agent | --agent=* | --claude-bin | --claude-bin=*) agent_given=yes ;;
  esac
done

command -v cargo >/dev/null || {
  say "run.sh: cargo is missing: install a Rust toolchain, 1.95 or newer"
  exit 69
}
target=${CARGO_TARGET_DIR:-$repo/target}
case $target in /*) ;; *) target=$repo/$target ;; esac
# From the clone, so that its .cargo/config.toml and not the caller's directory has the word.
(cd "$repo" && CARGO_TARGET_DIR=$target cargo build --locked --profile "$profile" --bins) >&2

extra=()
if [ "$agent_given" = no ] && ! command -v "${CLAUDE_BIN:-claude}" >/dev/null; then
  say "run.sh: no Claude CLI found${CLAUDE_BIN:+ at CLAUDE_BIN=$CLAUDE_BIN}."
  say "  to get it:  npm install -g @anthropic-ai/claude-code@latest   then type \`claude\` once and log in"
  say "  until then: the agent is \`echo\`, which answers every task with its own prompt"
  extra=(--agent echo)
fi

case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
export SHARED_ROOT=$root
# The root goes by the environment, so that a `--root` among the arguments still has the word.
# exec: Ctrl-C and SIGTERM reach the supervisor itself, and its exit code is ours.
exec "$target/$folder/supervisor" up ${extra[@]+"${extra[@]}"} "$@"
