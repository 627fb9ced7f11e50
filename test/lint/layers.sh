#!/bin/sh
# Layers of src: who may include whom, read from the #include lines.
#
#     layers.sh source...		the Makefile's list, without .c
#
# The table is the law; docs/design.md says why.  A file includes internal
# headers of its own layer or of lower ones, never of higher ones, and only the
# layers libev and watch know it: nobody else includes <ev.h> or calls it.
# A name with .h or .c speaks for that file alone, any other for both.
#
# loop.h is the state of a loop, which every layer has its part of; loop.c ends
# loops, and so knows them all.  debug.c checks the invariants of promises on
# behalf of those below.
set -u
cd "$(dirname "$0")/../.." || exit 1

# From the top down.
layers='
watch watch_emit
watch_kind watch.h
libev
loop lifecycle
abort combine map repeat group using semaphore queue rate timeout retry work events
line emitter
task
adapt begin settler seat call.h
chain cancel
promise reap.c root.c debug.c
sched
slab value error report alloc debug
loop.h node.h
'

# Comments and texts are cut away first: prose may name anything.
code() {
	awk '{
		line = $0
		kept = ""
		for (;;) {
			at = index(line, inside ? "*/" : "/*")
			if (!inside)
				kept = kept (at ? substr(line, 1, at - 1) : line)
			if (!at)
				break
			line = substr(line, at + 2)
			inside = !inside
		}
		if (kept !~ /#[ \t]*include/)
			gsub(/"([^"\\]|\\.)*"/, "", kept)
		print kept
	}' "$1"
}

{
	printf '%s\n' "$layers" | awk 'NF { print "layer", $0 }'
	for source in "$@"; do
		echo "source $source.c"
	done
	for file in src/*.[ch]; do
		echo "file ${file#src/}"
		code "$file" |
			grep -E '^[ 	]*#[ 	]*include|[^a-zA-Z0-9_]ev_[a-z_]+ *\(' |
			sed 's/^/uses /'
	done
} | awk '
	function rank(name,    stem) {
		stem = name
		sub(/\.[ch]$/, "", stem)
		return name in layer ? layer[name] : layer[stem]
	}
	function bad(text) {
		print "layers: src/" file " " text
		failed = 1
	}
	$1 == "layer" {
		depth++
		for (i = 2; i <= NF; i++)
			layer[$i] = depth
	}
	$1 == "source" { listed[$2] = 1 }
	$1 == "file" {
		file = $2
		files++
		knows_libev = file ~ /^(libev|watch(_[a-z]+)?)\.[ch]$/
		if (!rank(file))
			bad("stands in no layer: add it to test/lint/layers.sh")
		if (file ~ /\.c$/ && !(file in listed))
			bad("is not in the Makefile (SRC)")
		delete listed[file]
	}
	$1 == "uses" && /<ev\.h>|<ev\+\+\.h>/ && !knows_libev {
		bad("includes <ev.h>: only libev.[ch] and watch*.[ch] may")
	}
	$1 == "uses" && !/include/ && !knows_libev {
		sub(/^uses[ \t]*/, "")
		bad("calls libev: " $0)
	}
	$1 == "uses" && /include[ \t]*"/ {
		split($0, part, "\"")
		header = part[2]
		if (header ~ /^avow(\/[a-z_]*)?\.h$/)
			next
		includes++
		if (!rank(header))
			bad("includes \"" header "\", which stands in no layer")
		else if (rank(header) < rank(file))
			bad("includes \"" header "\" of a higher layer")
	}
	END {
		for (name in listed) {
			file = name
			bad("is in the Makefile (SRC), but not there")
		}
		if (!files || !includes)
			failed = 1
		print "layers: " files + 0 " files, " includes + 0 " includes" \
			(failed ? ", with errors" : ", all downward")
		exit failed
	}
'
