#!/bin/sh
# Run suites, each a program built with Check, and sum up what they say.
#
#     run-suites.sh [-j jobs] [-l folder] [-s seconds] [-w wrapper] suite...
#     run-suites.sh -t tally
#
# The first form runs `jobs` suites at a time, each behind `wrapper` (valgrind
# and its options, say) and for `seconds` at most, with its output in `folder`.
# It prints one line for each suite, the whole output of those that failed, and
# closes with `N passed, N failed`.  A suite that crashes, hangs, is killed,
# says nothing or runs nothing counts as one failure.  The exit status is 0
# when something passed and nothing failed.
#
# Where AVOW_TALLY names a file the two numbers are added to it as a line; the
# second form sums such a file in the same words, with the same exit status.
set -u

summary() { # passed failed
	printf '%d passed, %d failed\n' "$1" "$2"
	[ "$1" -gt 0 ] && [ "$2" -eq 0 ]
}

# Sum the lines "passed failed ..." on stdin.
sum() {
	awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }'
}

# Read Check's lines of one log: "passed failed".
counts() {
	sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$1" |
		awk '{ p += $1 - $2 - $3; f += $2 + $3 }
		     END { print p + 0, f + 0 }'
}

run_one() { # suite
	name=$(basename "$1")
	log=$logs/$name.log
	began=$(date +%s)
	limit=
	! command -v timeout >/dev/null 2>&1 || limit="timeout -k 5 $seconds"
	# Both are words: a program and its arguments.
	# shellcheck disable=SC2086
	$limit $wrapper "$1" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - began))
	# shellcheck disable=SC2046
	set -- $(counts "$log")
	passed=$1 failed=$2 why=
	case $status in
	124 | 137) why=", out of time ($seconds s)" ;;
	0 | 1) ;;
	*) why=", exit status $status" ;;
	esac
	# What Check did not count: a crash, a hang, a suite of nothing.
	if [ "$failed" -eq 0 ]; then
		[ "$status" -eq 0 ] && [ "$passed" -gt 0 ] || failed=1
		[ "$status" -eq 0 ] || why="${why:-, exit status $status}"
		[ "$passed" -gt 0 ] || why="${why:-, ran no test}"
	fi
	word='ok  '
	[ "$failed" -eq 0 ] || word=FAIL
	printf '%s  %-24s %4d passed %3d failed  %3d s%s\n' "$word" "$name" \
		"$passed" "$failed" "$took" "$why"
	echo "$passed $failed" >"$logs/$name.count"
}

jobs=1 logs=build/log seconds=600 wrapper='' one='' tally=''
while getopts 1j:l:s:t:w: option; do
	case $option in
	1) one=yes ;;
	j) jobs=$OPTARG ;;
	l) logs=$OPTARG ;;
	s) seconds=$OPTARG ;;
	t) tally=$OPTARG ;;
	w) wrapper=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

if [ -n "$tally" ]; then
	# shellcheck disable=SC2046
	summary $(sum <"$tally")
	exit
fi
if [ -n "$one" ]; then
	run_one "$1"
	exit 0
fi
if [ $# -eq 0 ]; then
	echo "run-suites.sh: no suites" >&2
	exit 2
fi

mkdir -p "$logs"
rm -f "$logs"/*.log "$logs"/*.count
# xargs runs this script once for each suite, as many at a time as asked.
printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh "$0" -1 -l "$logs" -s "$seconds" \
	-w "$wrapper"

for suite in "$@"; do
	name=$(basename "$suite")
	# A suite that left no count was never run to its end.
	[ -f "$logs/$name.count" ] || echo '0 1' >"$logs/$name.count"
	case $(cat "$logs/$name.count") in
	*' 0') [ -z "${V:-}" ] || cat "$logs/$name.log" ;;
	*)
		printf '\n---- %s ----\n' "$logs/$name.log"
		tail -n 400 "$logs/$name.log" ;;
	esac
done

# shellcheck disable=SC2046
set -- $(cat "$logs"/*.count | sum)
[ -z "${AVOW_TALLY:-}" ] || echo "$1 $2" >>"$AVOW_TALLY"
echo
summary "$1" "$2"
