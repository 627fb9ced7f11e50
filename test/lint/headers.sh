#!/bin/sh
# Each public header alone and twice, and use.c with its macros spelled out, as
# every C and C++ that is promised, by gcc and by clang, with -Wpedantic and
# warnings as errors.
#
#     headers.sh header...		paths below include/
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
flags='-Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only'
compiled=0
failed=0

compile() { # compiler standard language file name
	compiled=$((compiled + 1))
	# The flags are words.
	# shellcheck disable=SC2086
	"$1" -std="$2" -x "$3" $flags "$4" 2>"$tmp/log" && return
	failed=$((failed + 1))
	echo "headers: $5 does not compile with $1 -std=$2:"
	head -n 20 "$tmp/log"
}

all() { # file name
	for standard in c99 c11 c2x; do
		compile gcc $standard c "$1" "$2"
		compile clang $standard c "$1" "$2"
	done
	for standard in c++11 c++20; do
		compile g++ $standard c++ "$1" "$2"
		compile clang++ $standard c++ "$1" "$2"
	done
}

for header in "$@"; do
	printf '#include <%s>\n#include <%s>\n' "$header" "$header" \
		>"$tmp/alone.c"
	all "$tmp/alone.c" "$header"
done
all test/lint/use.c test/lint/use.c

echo "headers: $compiled compiled, $failed of them with errors"
[ $failed -eq 0 ]
