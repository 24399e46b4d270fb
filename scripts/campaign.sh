#!/usr/bin/env bash
# Tries to break the promises for longer than the gate can wait, part by part, and tells what came of it: a line for each
# part, and a table of every point in target/campaign/points.tsv. The exit code is 1 if anything was broken.
#
#   scripts/campaign.sh [--short|--long] [--points N] [--scene TEXT] [--seed S] [PART…]
#
# Without arguments: --short, a seed of this second, all parts. --short takes minutes and throws a sample; --long tries
# every point and takes hours, with --points at most N of each scene and fault, with --scene those of the scenes alone
# whose names have that text. The same seed throws the same sample again. What each part proves is told in docs/campaign.md.
#
# A part is a function that ends with 0 if all held, and prints a line `PART: seed S, N points, M broken` for whatever it
# counts. To add one: write it, and put its name into the list.
# shellcheck disable=SC2317 # the parts are called by their names
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 70

parts=(kills refusals lasting disks inputs surroundings torture power soak model fuzz)
long_parts=(mutants safeguards)
parts+=("${long_parts[@]}")

kills() { in_tests calls kills::; }
refusals() { in_tests calls refusals::; }
lasting() { in_tests calls lasting::; }
disks() { in_tests disk; }
# Tests of the tests, and nothing of a sample: they are a part of the long form alone.
mutants() { only_long && scripts/mutants.sh; }
safeguards() { only_long && scripts/safeguards.sh; }
only_long() { [ "$form" = long ] || { printf 'only with --long\n' && return 1; }; }
inputs() { in_tests hostile hundreds::; }
surroundings() { in_tests surroundings; }
torture() {
  local kills=300
  if [ "$form" = long ]; then kills=10000; fi
  scripts/torture.sh --seed "$seed" --kills "$kills"
}

power() { in_tests power; }
# A minute of it is short; what the tests do of it takes a few seconds.
soak() {
  local tasks=1000 minutes=1
  if [ "$form" = long ]; then tasks=100000 minutes=60; fi
  SOAK_PROFILE=${SOAK_PROFILE:-dev} scripts/soak.sh --faults --tasks "$tasks" --minutes "$minutes" --seed "$seed"
}
# Some hundred million states: optimised, and built beside the other tests, which would be built anew for it.
model() (
  if [ "$form" = long ]; then
    export MODEL_LONG=1 CARGO_TARGET_DIR=$dir/optimised CARGO_PROFILE_DEV_OPT_LEVEL=3
  fi
  in_tests model
)
fuzz() {
  local seconds=5
  if [ "$form" = long ]; then seconds=600; fi
  FUZZ_SEED=$seed scripts/fuzz.sh "$seconds"
}

# The tests of one file, one after the other, those whose names have `filter`.
in_tests() { # file, filter
  cargo test --locked --quiet --features test-support --test "$1" -- --nocapture --test-threads 1 "${@:2}"
}

usage() {
  printf 'usage: scripts/campaign.sh [--short|--long] [--points N] [--scene TEXT] [--seed S] [PART…]\n'
  printf '  --points N   with --long: at most N points of each scene and error (kills, refusals), N cuts (power)\n'
  printf '  --scene TEXT the scenes alone that have it in their names (kills, refusals)\n'
  printf '  --seed S     the same sample again\n'
  printf 'parts: %s\n' "${parts[*]}"
}

form=short seed=$(date +%s) chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --short | --long) form=${1#--} && shift ;;
    --points) export CAMPAIGN_POINTS=${2:?a number is missing} && shift 2 ;;
    --scene) export CAMPAIGN_SCENE=${2:?a text is missing} && shift 2 ;;
    --seed) seed=${2:?a number is missing} && shift 2 ;;
    --help) usage && exit 0 ;;
    -*) usage >&2 && exit 64 ;;
    *)
      [[ " ${parts[*]} " == *" $1 "* ]] || { printf 'no part %s; there are: %s\n' "$1" "${parts[*]}" >&2 && exit 64; }
      chosen+=("$1") && shift
      ;;
  esac
done
if [ ${#chosen[@]} -eq 0 ] && [ "$form" = long ]; then chosen=("${parts[@]}"); fi
if [ ${#chosen[@]} -eq 0 ]; then chosen=("${parts[@]:0:${#parts[@]}-${#long_parts[@]}}"); fi

dir=${CARGO_TARGET_DIR:-target}/campaign
mkdir -p "$dir" || exit 70
export CAMPAIGN=$form CAMPAIGN_SEED=$seed CAMPAIGN_REPORT=$PWD/$dir/points.tsv
case $dir in /*) CAMPAIGN_REPORT=$dir/points.tsv ;; esac
printf 'part\tscene\tkind\tcall\tpoints\tverdict\n' >"$CAMPAIGN_REPORT"

# What the tests of a part say of themselves, added up; where they count nothing, the tests are what is counted.
counted() { # log
  awk '
    / seed [0-9]+, [0-9]+ points, [0-9]+ broken/ { for (n = 1; n <= NF; n++) {
      if ($n ~ /^points/) points += $(n - 1)
      if ($n ~ /^broken/) broken += $(n - 1) } }
    /^test result:/ { for (n = 1; n <= NF; n++) {
      if ($n ~ /^passed/) passed += $(n - 1)
      if ($n ~ /^failed/) failed += $(n - 1) } }
    END { if (points == 0) { points = passed + failed; broken = failed }; print points + 0, broken + 0 }' "$1"
}

summary=() bad=0
for part in "${chosen[@]}"; do
  printf '\n== %s (%s, seed %s)\n' "$part" "$form" "$seed"
  began=$SECONDS
  "$part" </dev/null 2>&1 | tee "$dir/$part.log"
  code=${PIPESTATUS[0]} verdict=held
  if [ "$code" -ne 0 ]; then verdict="BROKEN (exit $code)" bad=1; fi
  # Only the sweeps have scenes; the one that was named has to be among theirs.
  case $part:${CAMPAIGN_SCENE:-} in
    kills:?* | refusals:?*)
      grep -q ' points, ' "$dir/$part.log" || { verdict='no scene of that name' && bad=1; }
      ;;
  esac
  read -r points broken < <(counted "$dir/$part.log")
  summary+=("$(printf '%-10s %12s %8s %8s %6ss  %s' "$part" "$seed" "$points" "$broken" $((SECONDS - began)) "$verdict")")
done

printf '\n%-10s %12s %8s %8s %7s\n' part seed points broken time
printf '%s\n' "${summary[@]}"
printf 'points: %s, what was said: %s/PART.log\n' "$CAMPAIGN_REPORT" "$dir"
exit "$bad"
