#!/usr/bin/env bash
# Run the check, put its table into the summary of the job, and keep its exit status.
set -euo pipefail

arguments=()
while IFS= read -r line; do
  [[ -z $line ]] || arguments+=("$line")
done <<<"${ARGUMENTS:-}"
[[ -z ${BASELINE:-} ]] || arguments+=("--baseline=$BASELINE")
[[ -z ${CONFIG:-} ]] || arguments+=("--config=$CONFIG")

status=0
onnxprune check "${arguments[@]}" \
  --format github --format markdown --format json --format junit --format sarif \
  --output "$REPORTS" -- "$PRUNED" || status=$?

[[ ! -f $REPORTS/onnxprune-check.md ]] || cat "$REPORTS/onnxprune-check.md" >>"$GITHUB_STEP_SUMMARY"
{
  if ((status == 0)); then echo passed=true; else echo passed=false; fi
  echo "report=$REPORTS/onnxprune-check.json"
} >>"$GITHUB_OUTPUT"
exit "$status"
