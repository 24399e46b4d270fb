#!/usr/bin/env bash
# Breaks the pure modules of queue, recovery, verdict and pipes in small ways, one after the other, and asks the unit tests
# whether they notice. It takes some hours on two cores.
#
#   scripts/mutants.sh [arguments of cargo mutants…]    e.g. scripts/mutants.sh -f src/spool/order.rs
#                                                        or   scripts/mutants.sh --shard 1/8
#
# What is broken and how it is tested is said in .cargo/mutants.toml. Each break is one build, so what is built is a copy
# that ends above the floors of those modules: a third of the source, built anew in a few seconds. The report is in
# target/mutants/mutants.out/; the exit code is 0 when all were caught, 2 when some were not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The modules that are broken, and those that they use.
floors='agent|checkout|clock|config|layout|os|pack|pipe|recovery|spool|task|telemetry|text'

cargo mutants --version >/dev/null 2>&1 || {
  printf 'cargo-mutants is missing: cargo install cargo-mutants --locked\n' >&2
  exit 69
}
out=${CARGO_TARGET_DIR:-$PWD/target}/mutants
mkdir -p "$out/tree"
# What was built of others stays.
find "$out/tree" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$out/tree" 2>/dev/null || true
cd "$out/tree"
{ sed -n '/^\/\/!/p' src/lib.rs && grep -E "^pub mod ($floors);" src/lib.rs; } >src/lib.new
mv src/lib.new src/lib.rs
# No programs and no benches, which are made of the rest.
awk '/^\[\[/ { skip = 1 } /^\[[^[]/ { skip = 0 } !skip && !/^default-run/' Cargo.toml |
  sed 's/^autobenches = false/&\nautotests = false\nautobins = false/' >Cargo.new
mv Cargo.new Cargo.toml
export CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0
unset CARGO_TARGET_DIR
exec cargo mutants --in-place --no-shuffle --output "$out" "$@"
