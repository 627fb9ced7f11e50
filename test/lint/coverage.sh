#!/bin/sh
# Line coverage of src by the suites that have just run, file by file.
#
#     coverage.sh build/coverage percent
#
# Fails when the whole is below `percent`.  Lines that no test reaches are
# marked ##### in build/coverage/gcov/*.gcov.
set -u
built=$1
least=$2
cd "$(dirname "$0")/../.." || exit 1
rm -rf "$built/gcov"
mkdir -p "$built/gcov" || exit 1

# gcov writes into the current folder; the report goes by the source's path,
# and adds up what several sources include from one header.
(cd "$built/gcov" && ${GCOV:-gcov} -r -s "$OLDPWD" ../src/*.gcno) \
	>"$built/gcov/report" 2>"$built/gcov/errors" || {
	cat "$built/gcov/errors"
	exit 1
}

awk -v least="$least" '
	/^File / {
		split($0, part, "\047")
		file = part[2]
	}
	/^Lines executed:/ && file ~ /^src\// {
		sub(/^Lines executed:/, "")
		split($0, part, /% of /)
		lines = part[2]
		hit = int(part[1] * lines / 100 + 0.5)
		printf "%-20s %5d of %5d lines  %6.2f %%\n", file, hit, lines,
			part[1]
		all_lines += lines
		all_hit += hit
		file = ""
	}
	END {
		if (!all_lines) {
			print "coverage: nothing was counted"
			exit 1
		}
		percent = 100 * all_hit / all_lines
		printf "%-20s %5d of %5d lines  %6.2f %%\n", "coverage of src",
			all_hit, all_lines, percent
		if (percent < least)
			printf "coverage: below %s %%\n", least
		exit percent < least
	}
' "$built/gcov/report"
