#!/bin/sh
# Run promises-aplus-tests over avow, in the default order of jobs and in that
# of ECMAScript:
#
#     run.sh folder addon.node [wrapper...]
#
# `folder` is where npm has installed the suite, `wrapper` stands before node.
# Mocha's own words come first, `N passed, N failed` of both runs last, and also
# as a line of AVOW_TALLY, as run-suites.sh has it.  A run that crashes or hangs
# counts as one failure, beside the tests that it did count.
set -u

SECONDS_MAX=600 # for one run, which waits for some 15 s of timers

here=$(dirname "$0")
folder=$1 addon=$2
shift 2
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

for order in default ecmascript; do
	printf '\n---- Promises/A+, order of jobs: %s ----\n' "$order"
	: >"$tmp/one"
	timeout -k 5 $SECONDS_MAX "$@" node --expose-gc "$here/adapter.js" \
		"$folder" "$addon" "$tmp/one" "$order" </dev/null
	status=$?
	# A failure that it has counted has made it end with 1.
	if [ $status -ne 0 ] && ! grep -q ' [1-9]' "$tmp/one"; then
		echo "node ended with status $status"
		echo '0 1' >>"$tmp/one"
	elif [ ! -s "$tmp/one" ]; then
		echo "node ended before the tests did"
		echo '0 1' >>"$tmp/one"
	fi
	cat "$tmp/one" >>"$tmp/all"
done

[ -z "${AVOW_TALLY:-}" ] || cat "$tmp/all" >>"$AVOW_TALLY"
echo
"$here/../run-suites.sh" -t "$tmp/all"
