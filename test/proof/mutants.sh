#!/bin/sh
# Can the proof fail?  Break the library in one place at a time, as one could
# have written it wrong, and run an explorer, which must refute each.
#
#     mutants.sh folder compiler flags...
#
# `folder` is where it works.  PROOF_MUTANT=name runs one and shows the program
# that refutes it.
#
# A line of the table: name | file | profile and the most operations to try | sed
# script.  A mutation that does not change its file any more is a failure: the
# table has to follow the code.
set -u
work=$1
shift

table='
a follower is no use|promise.c|follow 4|/^static void promise_link/,/^}/{/q->uses++;/d}
a settled one followed is no use|promise.c|values 3|/^void avow__follow/,/^}/{/q->uses++;/d}
an alias is no use|promise.c|values 4|/if (owner != source)$/{N;s/.*owner->uses++;//}
one other reader is no reader|promise.c|values 4|s/return source->uses == 1 .. loop->is_draining/return source->uses <= 2 \&\& loop->is_draining/
a source stays used|chain.c|follow 3|/^INLINE void chain_reacted/,/^}/{s/avow__unuse_short(loop, source);/;/}
reaped with one use|reap.c|values 4|s/if (p->uses == 0 .. !(word & RUNNING))/if (p->uses <= 1 \&\& !(word \& RUNNING))/
released and kept|reap.c|follow 4|/^void avow__unuse_in_call/,/^}/{s/avow__park(loop, p)/(void)loop/}
a ring joins in front|sched.h|follow 5|s/if (!in_front)/if (in_front)/
a ring is spliced without its back|sched.h|follow 5|/other_head->back = tail;/d
the last leaves a ring as its tail|sched.h|cancel 4|/^static inline void avow__ring_unlink/,/^}/{s/if (.ring == p)/if (false)/}
no cycle is found|promise.c|follow 3|s/return q == p;/return false;/
only a cycle of one is found|promise.c|follow 4|s/if (p->word & FOLLOWED) {/if (false) {/
an alias drops what it shows|reap.c|values 4|/^static void reap_free/,/^}/{s/^\t\tavow__unuse(loop, owner);/\t\tconst avow_value twice = owner->value;\n\t\tavow__unuse(loop, owner);\n\t\tavow__value_drop(twice);/}
the value goes along and stays|promise.c|values 5|/^void avow__follow/,/^}/{/q->value = avow__none;/d}
taken from under a reader|value.h|values 5|s/return source->uses == 1 .. owner->uses == 1 ../return true \&\&/
taken from under a handle|value.h|nest 7|s/avow__depth_of([a-z]*) >= loop->depth/true/
what comes late is not dropped|root.c|follow 3|/^static void root_resolve_slowly/,/^}/{/avow__value_drop(value);/d}
what comes late is not counted|root.c|follow 3|/loop->ignored +=/d
resolved twice|root.c|follow 4|/^static void root_resolve_slowly/,/^}/{s/STATE_MASK | LOCKED | IMMORTAL/STATE_MASK | IMMORTAL/}
collapsed within its callback|promise.c|collapse 7|/f->since == (uintptr_t)loop->tick ||/d
collapsed although it is held|promise.c|follow 7|s/!= want || f->uses != 1 ||/!= want ||/
collapsed, and the next one left behind|promise.c|collapse 7|/^\tg->source = p;/d
nothing is collapsed|promise.c|follow 2|s/while (promise_collapse(loop, p))/while (false \&\& promise_collapse(loop, p))/
a follower comes last|chain.c|values 5|s/const bool in_front = !loop->is_ecmascript;/const bool in_front = false;/
freed under a handle further out|reap.c|nest 6|s/avow__depth_of(p) >= loop->depth && loop->is_draining/loop->is_draining/
freed at once in a call|reap.c|follow 3|s/avow__depth_of(p) >= loop->depth && loop->is_draining/true/
the cancelled do not drop|cancel.c|cancel 4|/^static void cancel_all/,/^}/{/avow__finish_late(loop, p);/d}
dropped twice|reap.c|cancel 4|/^void avow__extra_finish/,/^}/{/^\textra->drop = NULL;/d;s/^\tif (drop)/\tif (drop \&\& p->uses == 99)/}
dropped before it has settled|cancel.c|cancel 4|/^static void cancel_settle/,/^}/{s/^\tp->word &= ~(uint32_t)ON_WAY;/\tif (p->word \& EXTRA)\n\t\tavow__extra_finish(loop, p);\n&/}
cancelled although somebody waits|cancel.c|cancel 4|s/if (--source->uses > 0)/if (--source->uses > 1)/
a shield lets cancelling through|cancel.c|cancel 3|s/return is_shielded || source->word & ON_WAY/return source->word \& ON_WAY/
a cancelled finally does not run|cancel.c|cancel 3|/^static void cancel_settle/,/^}/{s/avow__job_append(loop, stand_in);/;/}
the driver is not woken|chain.c|follow 5|s/return chain_wake(loop, p);/return p;/
an error is passed by|chain.c|values 4|s/if (!(word >> ON_SHIFT & source->word & STATE_MASK)) {/if (word \& ON_REJECTED \&\& !(word \& ON_FULFILLED)) {/
unlinked from the wrong ring|promise.h|cancel-es 4|s/avow__is_settled(source) || p->word & QUEUED/avow__is_settled(source)/
one job for two|promise.c|values-es 5|/^bool avow__adopted/,/^}/{s/if (is_first) {/if (false) {/}
settled from afar without a lock|settler.c|threads 2|/^static void settle_from_afar/,/^}/{/pthread_mutex_/d}
the loop goes without a lock|seat.c|threads 2|/^void avow__calls_close/,/^}/{/pthread_mutex_/d}
claimed in two steps|call.h|threads 2|s/^\treturn __atomic_compare_exchange_n(.*/\tif (__atomic_load_n(\&call->state, __ATOMIC_RELAXED) != open)\n\t\treturn false;\n\t__atomic_store_n(\&call->state, claimed, __ATOMIC_RELAXED);\n\treturn true;/;/__ATOMIC_ACQ_REL, __ATOMIC_RELAXED);/d
a letter is lost|settler.c|threads 2|s/call->next = table->mail->next;/call->next = call;/
the bell is not rung|settler.c|threads 2|/^static void settle_from_afar/,/^}/{/driver->ring/d}
a cancelled call is closed whoever claimed it|settler.c|threads 2|/^void avow__call_over/,/^}/{s/if (avow__call_claim(.*/(void)avow__call_claim(call, avow__call_generation(call));/}
a call keeps its generation|settler.c|threads 2|s/avow__call_generation(call) + 1;/avow__call_generation(call);/
the mail of a loop that goes is not dropped|seat.c|threads 2|/^\t\t\tavow__value_drop(call->value);/s/avow__value_drop(call->value)/(void)call/
'

# What the log says against it: the property, or the library's own check.
said() {
	sed -n 's/^avow: //p' "$work/log" | head -n 1 | grep . ||
		sed -n 's/^REFUTED *//p' "$work/log" | sed 's/ (line.*//'
}

cp -r src include "$work" || exit 1
for source in test/proof/programs test/proof/heap test/proof/naive src/debug; do
	"$@" -O2 -DAVOW_DEBUG=1 -Iinclude -c -o "$work/${source##*/}.o" \
		"$source.c" || exit 1
done

# The explorer that the bound names, of the library in $work.
build() {
	case $bound in
	threads*)
		"$@" -O1 -DPROOF_THREADS=1 -I"$work/include" \
			-iquote "$work/src" -o "$work/explorer" \
			test/proof/core.c test/proof/threads.c ;;
	*)
		"$@" -O1 -DAVOW_DEBUG=1 -I"$work/include" \
			-iquote "$work/src" -Wl,--wrap=avow__quarantine \
			-o "$work/explorer" test/proof/core.c \
			"$work/programs.o" "$work/heap.o" "$work/naive.o" \
			"$work/debug.o" ;;
	esac >"$work/log" 2>&1
}

count=0
while IFS='|' read -r name file bound script; do
	[ -n "$name" ] || continue
	[ "${PROOF_MUTANT:-$name}" = "$name" ] || continue
	sed "$script" "src/$file" >"$work/src/$file"
	if cmp -s "src/$file" "$work/src/$file"; then
		echo "not a mutant any more: $name (src/$file)"
		exit 1
	fi
	if ! build "$@"; then
		cat "$work/log"
		echo "does not compile: $name"
		exit 1
	fi
	# The smallest bound that does it.
	operations=2
	while "$work/explorer" "${bound% *}" $operations >"$work/log" 2>&1 &&
		[ $operations -lt "${bound#* }" ]; do
		operations=$((operations + 1))
	done
	[ -z "${PROOF_MUTANT:-}" ] || cat "$work/log"
	if ! grep -q '^REFUTED' "$work/log"; then
		cat "$work/log"
		echo "survives: $name ($bound)"
		exit 1
	fi
	printf 'refuted  %-42s %-11s %s\n' "$name" "${bound% *} $operations" \
		"$(said)"
	cp "src/$file" "$work/src/$file"
	count=$((count + 1))
done <<END
$table
END
[ $count -gt 0 ]
