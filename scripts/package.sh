#!/usr/bin/env bash
# The Debian package: what stands in Cargo.toml at [package.metadata.deb], with man pages and completions, which the
# programs make themselves. Needs cargo-deb (`cargo install cargo-deb --locked`).
#
#   scripts/package.sh [DIR]     the package goes to DIR (target/debian); its path is printed
#
# PROGRAMS=DIR   nothing is compiled: the programs are those
# STATIC=no      glibc is linked dynamically, and the package asks for it
# VERSION=V      another version than that of Cargo.toml
# FAST=yes       less is squeezed out of it, in a tenth of the time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/debian}

scripts/programs.sh "$target/release"
mkdir -p "$out"
more=()
if [ -n "${VERSION:-}" ]; then more+=(--deb-version "$VERSION"); fi
if [ "${FAST:-no}" = yes ]; then more+=(--fast); fi
cargo deb --locked --no-build --no-strip --variant full --output "$out" "${more[@]}"
