#!/bin/sh
# The global symbols of the library against docs/symbols.md.
#
#     symbols.sh libavow.a docs/symbols.md
#
# Every global begins with avow_, for a static library hides nothing.  Those
# that begin with avow__ are shared inside src; all others are public, and are
# exactly what the table below "Functions and data" on the page lists.
set -u
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$tmp/all"
if grep -v '^avow_' "$tmp/all" >"$tmp/foreign"; then
	echo "symbols: globals that do not begin with avow_:"
	sed 's/^/    /' "$tmp/foreign"
	failed=1
fi
grep '^avow_' "$tmp/all" | grep -v '^avow__' >"$tmp/public"
# The backquotes are the page's.
# shellcheck disable=SC2016
awk '/^## / { here = /^## Functions and data/ } here' "$2" |
	sed -n 's/^|[ `]*\(avow_[a-z0-9_]*\)[`( |].*/\1/p' |
	sort >"$tmp/listed"

difference() { # comm's option, text
	comm "$1" "$tmp/public" "$tmp/listed" >"$tmp/difference"
	[ -s "$tmp/difference" ] || return
	echo "symbols: $2"
	sed 's/^/    /' "$tmp/difference"
	failed=1
}
difference -23 "in the library, not in $2:"
difference -13 "in $2, not in the library (or twice):"
if [ ! -s "$tmp/public" ] || [ ! -s "$tmp/listed" ]; then
	echo "symbols: nothing to compare"
	failed=1
fi
echo "symbols: $(wc -l <"$tmp/all") globals, $(wc -l <"$tmp/public") public"
exit $failed
