#!/bin/sh
# Do the documents say what is true?
#
#     docs.sh folder example...
#
# `folder` holds the examples, compiled.  Each must run and end well, and print
# what the file beside its source (example.out) says, where there is one.  Man
# pages must please mandoc and tell of every public symbol, the program of the
# README must be docs/examples/readme.c with its output, code that documents
# quote must stand in the file named on its first line, and links within the
# documents must lead somewhere.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

bad() {
	echo "docs: $*"
	failed=1
}

folder=$1
shift
for example in "$@"; do
	limit=
	! command -v timeout >/dev/null 2>&1 || limit='timeout 60'
	# A program and its argument.
	# shellcheck disable=SC2086
	if ! $limit "$folder/$example" </dev/null >"$tmp/out" 2>"$tmp/err"; then
		bad "$example failed:"
		cat "$tmp/out" "$tmp/err"
	fi
	[ ! -f "docs/$example.out" ] ||
		diff -u "docs/$example.out" "$tmp/out" ||
		bad "$example prints something else"
done

# The n-th fenced block of the README.
block() {
	awk -v n="$1" '/^```/ { fence++; next } fence == 2 * n - 1' README.md
}

# The program without the comment that opens it.
awk 'code { print } /^ \*\// { code = 1 }' docs/examples/readme.c |
	sed '1{/^$/d;}' >"$tmp/readme.c"
block 1 >"$tmp/readme.md"
diff -u "$tmp/readme.c" "$tmp/readme.md" ||
	bad "the README's program is not docs/examples/readme.c"
"$folder/examples/readme" >"$tmp/readme.out" 2>&1
block 2 >"$tmp/readme.md"
diff -u "$tmp/readme.out" "$tmp/readme.md" ||
	bad "the README's program prints something else"

# mandoc asks about its own system's conventions below the level of warnings.
pages=0
for page in docs/man/*.3; do
	pages=$((pages + 1))
	mandoc -Tlint -Wwarning "$page" || bad "$page displeases mandoc"
done
[ "$pages" -gt 0 ] || bad "there are no man pages"

# Symbols that end in _ are written by macros only, and have no page.
# The backquotes are the page's.
# shellcheck disable=SC2016
symbols=$(awk '/^## / { here = /^## Functions and data/ } here' docs/symbols.md |
	sed -n 's/^|[ `]*\(avow_[a-z0-9_]*\)[`( |].*/\1/p' | grep -v '_$')
[ -n "$symbols" ] || bad "docs/symbols.md lists nothing"
for symbol in $symbols; do
	grep -qE "^\.(Nm|Fn|Fo|Vt|Va|Dv) ([^\"]* )?$symbol( |\$)" \
		docs/man/*.3 || bad "$symbol stands on no man page"
done

# A block that opens with /* guide/order.c */ is a piece of docs/guide/order.c.
quotes=0
for document in docs/*.md docs/*/*.md; do
	[ -f "$document" ] || continue
	awk -v document="$document" '
		function text(path,    line, all) {
			while ((getline line <path) > 0)
				all = all line "\n"
			close(path)
			return all
		}
		/^```/ && !fenced {
			fenced = 1
			block = path = ""
			start = NR
			next
		}
		/^```/ {
			fenced = 0
			if (path == "")
				next
			quotes++
			if (!index(text("docs/" path), block)) {
				print "docs: " document ":" start \
					" is not in docs/" path
				bad = 1
			}
			next
		}
		fenced && NR == start + 1 && /^\/\* [a-z_\/]*\.[ch] \*\/$/ {
			path = $2
			next
		}
		fenced { block = block $0 "\n" }
		END { print quotes + 0 >"/dev/stderr"; exit bad }
	' "$document" 2>"$tmp/quotes" || failed=1
	quotes=$((quotes + $(cat "$tmp/quotes")))
done

# A link goes from the folder of its document; anchors are not looked at.
for document in *.md docs/*.md docs/*/*.md bench/*.md; do
	[ -f "$document" ] || continue
	grep -o '](\([^)# ]*\)[^)]*)' "$document" |
		sed 's/](\([^)# ]*\).*/\1/' >"$tmp/links"
	while read -r link; do
		case $link in
		*://* | mailto:* | '') continue ;;
		esac
		[ -e "$(dirname "$document")/$link" ] ||
			bad "$document links to $link, which is not there"
	done <"$tmp/links"
done

echo "docs: $# examples, $quotes quotes, $pages man pages," \
	"$(echo "$symbols" | wc -w) symbols"
exit $failed
