#!/bin/sh
# The gate of the bench: instructions per step, counted by callgrind, and
# memory, against bench/limits.txt.  Never time, which depends on who else uses
# the machine.
#
#     bench/instructions.sh [build/release/bench/avow-bench]
#
# A workload is counted twice, with few laps and with many, and the difference
# is divided by the steps between them: what starts a program and warms its
# memory up cancels out.  A line without a limit is there for comparison.
# Without valgrind the instructions are skipped, the memory is not.
set -u

bench=${1:-build/release/bench/avow-bench}
limits=$(dirname "$0")/limits.txt
steps=5000
few=2
many=12
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

fail() {
	echo "instructions.sh: $*" >&2
	exit 1
}

[ -x "$bench" ] || fail "there is no $bench (make bench builds it)"
[ -r "$limits" ] || fail "there is no $limits"

# Instructions of the whole program, for so many laps.
count() { # workload series laps
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" \
		--count "$1" --series "$2" --steps $steps --laps "$3" \
		< /dev/null > "$tmp/log" 2>&1 || { cat "$tmp/log" >&2; return 1; }
	sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$tmp/log"
}

per_step() { # workload series name
	less=$(count "$1" "$2" $few) || fail "$1 $2 did not run"
	more=$(count "$1" "$2" $many) || fail "$1 $2 did not run"
	awk -v less="$less" -v more="$more" -v name="$3" \
		-v steps=$((steps * (many - few))) \
		'BEGIN { printf "%s %.1f\n", name, (more - less) / steps }'
}

# Without its debug information, which some compilers write in a form that
# valgrind cannot read.
strip -o "$tmp/avow-bench" "$bench" 2>/dev/null ||
	cp "$bench" "$tmp/avow-bench" || exit 1
bench=$tmp/avow-bench

: > "$tmp/seen"
if command -v valgrind >/dev/null 2>&1; then
	sed -n 's/^instructions_\([a-z0-9]*\) .*/\1/p' "$limits" > "$tmp/names"
	while read -r w; do
		per_step "$w" warm "instructions_$w" >> "$tmp/seen" || exit 1
		others='fifo feed'
		case $w in
		call|timer|turn|delay) others='bare' ;;
		esac
		for s in $others; do
			per_step "$w" "$s" "  beside_$s" >> "$tmp/seen" ||
				exit 1
		done
	done < "$tmp/names"
else
	echo "instructions: skipped, there is no valgrind"
	touch "$tmp/no-counts"
fi
"$bench" --facts >> "$tmp/seen" || fail "the memory could not be measured"

awk -v skip="$([ -e "$tmp/no-counts" ] && echo 1 || echo 0)" '
	FILENAME == ARGV[1] {
		if ($0 !~ /^#/ && NF == 2)
			limit[$1] = $2
		next
	}
	{
		seen[$1] = 1
		name = $0 ~ /^ / ? "  " $1 : $1
		if (!($1 in limit)) {
			printf "%-26s %12s\n", name, $2
			next
		}
		over = $2 + 0 > limit[$1] + 0
		bad += over
		printf "%-26s %12s  at most %8s  %s\n", name, $2, limit[$1],
			over ? "EXCEEDED" : "ok"
	}
	END {
		for (name in limit) {
			if (name in seen || (skip && name ~ /^instructions_/))
				continue
			printf "%s: a limit, and nothing measured\n", name
			bad++
		}
		printf "%s\n", bad ? bad " limits exceeded" : "all within limits"
		exit bad > 0
	}' "$limits" "$tmp/seen"
