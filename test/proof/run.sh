#!/bin/sh
# The whole proof: explore what is right, then what is wrong.
#
#     run.sh folder compiler flags...
#
# `folder` holds the two explorers.  Closes with `N passed, N failed`, where
# each bound that was proved and each mutant that was refuted counts as one, and
# adds the numbers to the file that AVOW_TALLY names.
set -u
folder=$1
shift
log=$folder/log
rm -rf "$folder/mutants"
mkdir -p "$folder/mutants" || exit 1
failed=0
run() {
	"$@" >"$log.one" 2>&1 || failed=$((failed + 1))
	cat "$log.one" >>"$log"
	grep -v ' passed, ' "$log.one"
}
: >"$log"
run "$folder/programs"
run "$folder/threads"
run test/proof/mutants.sh "$folder/mutants" "$@"
passed=$(grep -c '^proved\|^refuted' "$log")
echo "$passed $failed" >>"${AVOW_TALLY:-/dev/null}"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
