#!/bin/bash
# The agent of the pictures (scripts/pictures.sh): speaks the CLI's protocol as far as a picture needs it, and says what
# belongs to the prompt.
if [ "$1" = --version ]; then echo '2.1.330 (Claude Code)'; exit; fi

line() { printf '%s\n' "$1"; }
say() { line "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]}}"; }
tool() { line "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"$1\",\"input\":{\"command\":\"$2\"}}]}}"; }
tool_done() { line "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"$1\"}]}}"; }
result() { line "{\"type\":\"result\",\"session_id\":\"$session\",$1}"; }
good() { result "\"subtype\":\"success\",\"is_error\":false,\"result\":\"$1\",\"num_turns\":4,\"total_cost_usd\":$2"; }

session=
while [ $# -gt 0 ]; do
  if [ "$1" = --session-id ]; then session=$2; fi
  shift
done
read -r prompt
line '{"type":"system","subtype":"init","model":"claude-opus-4","claude_code_version":"2.1.330"}'
case $prompt in
  *'three ledgers'*)
    say 'I have read the three ledgers. The March total is off by 1,204.50, so I look for the entry.'
    tool Bash 'grep -n 1204.50 ledgers/*.csv'
    tool_done 'ledgers/march.csv:118: 7718 1204.50'
    say 'It is invoice 7718, booked twice: once by hand on the 3rd, once by the import on the 4th.'
    tool Edit ledgers/march.csv
    tool_done 'one line was removed'
    say 'The totals agree now. I write the summary.' ;;
  *'Match the invoices'*)
    say '14 of 40 invoices are matched, two of them only by their amount.'
    tool Read inbox/invoice-0015.pdf ;;
  *'release notes'*)
    say 'I collect what was merged since v2.3.'
    tool Bash 'git log --oneline --merges v2.3..' ;;
  *refactor*)
    result '"subtype":"error_max_turns","is_error":true,"terminal_reason":"max_turns","errors":["Reached maximum number of turns (40)"],"num_turns":40,"total_cost_usd":0.83'
    exec cat >/dev/null ;;
  *Crawl*)
    result '"subtype":"success","is_error":false,"result":"I may not fetch pages.","num_turns":2,"total_cost_usd":0.02,"permission_denials":[{"tool_name":"WebFetch","tool_use_id":"t","tool_input":{}}]'
    exec cat >/dev/null ;;
  *)
    good 'done' 0.31
    exec cat >/dev/null ;;
esac
exec cat >/dev/null
