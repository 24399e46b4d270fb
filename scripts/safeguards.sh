#!/usr/bin/env bash
# Deletes every wait for the disk, every lock, every refusal to replace and every second look, one after the other, and
# asks the test that stands beside it in scripts/safeguards.tsv. What is deleted there must be noticed.
#
#   scripts/safeguards.sh [NAME…]      e.g. scripts/safeguards.sh folder-sync pid-start
#
# All deletions are built into one copy of the source, each behind a switch that is read from a file, so that programs with
# an empty environment obey it too: what would be forty builds is one. First every test has to hold with nothing deleted.
# The exit code is 0 when all were caught, 1 when some were not, 70 when the list does not fit the source.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

copy=${SAFEGUARDS_DIR:-${CARGO_TARGET_DIR:-$PWD/target}/safeguards}
mkdir -p "$copy"
switch=$copy/off
: >"$switch"
# What did not change keeps its time, or all would be built anew each time.
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$fresh" 2>/dev/null || true
python3 - "$fresh" "$copy/tree" "$switch" <<'PY'
import filecmp, os, shutil, sys
fresh, tree, switch = sys.argv[1:]
for line in open(f"{fresh}/scripts/safeguards.tsv"):
    if line.startswith("#"):
        continue
    name, file, text, instead, _ = line.rstrip("\n").split("\t")
    path = f"{fresh}/{file}"
    source = open(path).read()
    code, mark, tests = source.partition("#[cfg(test)]\n")
    if code.count(text) != 1:
        sys.exit(f"{name}: `{text}` stands {code.count(text)} times in {file}, and not once")
    code = code.replace(text, instead.replace("OFF", f'crate::off::is("{name}")'))
    open(path, "w").write(code + mark + tests)
with open(f"{fresh}/src/lib.rs", "a") as lib:
    lib.write("\n#[doc(hidden)]\npub mod off;\n")
with open(f"{fresh}/src/off.rs", "w") as off:
    off.write(f'''//! Which safeguard is deleted.

static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Whether it is this one.
pub fn is(name: &str) -> bool {{
    NAME.get_or_init(|| std::fs::read_to_string("{switch}").unwrap_or_default()) == name
}}
''')
for folder, _, files in os.walk(fresh):
    for file in files:
        new = os.path.join(folder, file)
        old = os.path.join(tree, os.path.relpath(new, fresh))
        os.makedirs(os.path.dirname(old), exist_ok=True)
        if not os.path.exists(old) or not filecmp.cmp(new, old, False):
            shutil.copy(new, old)
PY

rows() { grep -v '^#' scripts/safeguards.tsv; }
wanted() { [ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " == *" $1 "* ]]; }
names=("$@")

# The test binaries that are asked, by name.
declare -A programs=()
targets=()
for binary in $(rows | cut -f5 | cut -d' ' -f1 | sort -u | grep -vx none); do
  if [ "$binary" = lib ]; then targets+=(--lib); else targets+=(--test "$binary"); fi
done
built=$(cd "$copy/tree" && CARGO_TARGET_DIR=${SAFEGUARDS_TARGET:-$copy/target} \
  cargo test --locked --features test-support --no-run "${targets[@]}" --message-format=json)
while IFS=$'\t' read -r name program; do programs[$name]=$program; done < <(printf '%s\n' "$built" | python3 -c '
import json, sys
for line in sys.stdin:
    it = json.loads(line)
    if it.get("executable") and it.get("profile", {}).get("test"):
        kind = it["target"]["kind"][0]
        print("lib" if kind == "lib" else it["target"]["name"], it["executable"], sep="\t")')

# Whether a test holds; one that never ends does not.
holds() { # binary, filter
  (cd "$copy/tree" && RUST_BACKTRACE=0 timeout -k 5 "${SAFEGUARDS_PATIENCE:-300}" \
    "${programs[$1]}" "$2" --test-threads 4 </dev/null >"$copy/said" 2>&1) && ! grep -q ' 0 passed' "$copy/said"
}

while read -r binary filter; do
  if ! holds "$binary" "$filter"; then
    printf 'with nothing deleted, %s %s does not hold:\n' "$binary" "$filter" >&2
    tail -n 40 "$copy/said" >&2
    exit 70
  fi
done < <(rows | while IFS=$'\t' read -r name _ _ _ test; do if wanted "$name" && [ "${test%% *}" != none ]; then printf '%s\n' "$test"; fi; done | sort -u)

points=0 missed=0 alone=0
while IFS=$'\t' read -r name file _ _ test; do
  wanted "$name" || continue
  if [ "${test%% *}" = none ]; then
    printf '%-22s %-36s %s\n' "$name" "$file" "not asked: ${test#* }"
    alone=$((alone + 1))
    continue
  fi
  printf %s "$name" >"$switch"
  verdict=caught
  points=$((points + 1))
  if holds "${test%% *}" "${test#* }"; then verdict='NOT CAUGHT' missed=$((missed + 1)); fi
  printf '%-22s %-36s %-44s %s\n' "$name" "$file" "$test" "$verdict"
done < <(rows)
: >"$switch"
printf 'safeguards: seed 0, %s points, %s broken (%s more of which no test can ask)\n' "$points" "$missed" "$alone"
[ "$missed" -eq 0 ]
