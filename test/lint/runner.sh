#!/bin/sh
# Does the runner notice?  Feeds test/run-suites.sh stand-ins for suites, some
# of which fail in every way a suite can, and compares its closing line and its
# exit status.  It needs no library and no Check.
set -u
runner=$(cd "$(dirname "$0")/.." && pwd)/run-suites.sh
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

suite() { # name, body on stdin
	{ echo '#!/bin/sh'; cat; } >"$tmp/$1"
	chmod +x "$tmp/$1"
}

says() { # what checks failures errors status
	suite "$1" <<-end
		echo "Running suite(s): $1"
		echo "90%: Checks: $2, Failures: $3, Errors: $4"
		exit $5
	end
}

expect() { # status summary suites...
	status=$1 summary=$2
	shift 2
	got=$(cd "$tmp" && AVOW_TALLY=$tmp/tally "$runner" -j 2 \
		-s 2 -l "$tmp/log" "$@" 2>&1)
	code=$?
	last=$(printf '%s\n' "$got" | tail -n 1)
	if [ "$last" != "$summary" ] || [ $code -ne "$status" ]; then
		printf 'runner: %s: "%s" (%s), expected "%s" (%s)\n' \
			"$*" "$last" $code "$summary" "$status"
		bad=1
	fi
}

says good 12 0 0 0
says failing 12 2 1 1
says lying 3 0 0 1
says empty 0 0 0 0
suite silent </dev/null
echo 'kill -SEGV $$' | suite crash
echo 'exec sleep 30' | suite hang

expect 0 '12 passed, 0 failed' ./good
expect 1 '21 passed, 3 failed' ./good ./failing
expect 1 '15 passed, 1 failed' ./good ./lying
expect 1 '12 passed, 1 failed' ./good ./empty
expect 1 '12 passed, 1 failed' ./silent ./good
expect 1 '12 passed, 1 failed' ./crash ./good
expect 1 '12 passed, 1 failed' ./hang ./good
expect 1 '12 passed, 1 failed' ./absent ./good

sum=$("$runner" -t "$tmp/tally")
if [ "$sum" != '108 passed, 9 failed' ]; then
	echo "runner: the tally says \"$sum\""
	bad=1
fi
exit $bad
