/*
 * SPDX-License-Identifier: MIT
 *
 * promise.h - the state machine: making, settling, following, reaping.
 *
 * Below the chain (which makes reactions) and cancelling; above the scheduler.
 * Functions that end in "settle" never run a handler: reactions are queued.
 */
#ifndef AVOW_SRC_PROMISE_H
#define AVOW_SRC_PROMISE_H

#include "alloc.h"
#include "debug.h"
#include "loop.h"
#include "report.h"
#include "sched.h"
#include "slab.h"
#include "value.h"

/* Where a promise that is gone was made; what has its memory now has no place
 * to tell. */
static inline const char *avow__dead_place(const avow_promise *p)
{
	return p->word & DEAD ? p->place : NULL;
}

/*
 * The checks at every entry: a handle, alive, and in its loop's thread.
 * `call` names the function in the message.
 */
static inline avow_loop *avow__entry(const avow_promise *p, const char *call)
{
	CHECK(p, NULL, "%s of a NULL promise", call);
	CHECK(!(p->word & (DEAD | RAW | POST)), avow__dead_place(p),
	      "%s of a stale handle: the promise is gone, hold it", call);
	avow_loop *loop = avow__slab_of(p)->loop;
	CHECK(loop->thread == avow__self(), p->place,
	      "%s from another thread than the loop's", call);
	promise_check(loop, p);
	return loop;
}

/* A fresh pending root; the immortal promise when out of memory. */
avow_promise *avow__root(avow_loop *loop, const char *place, uint32_t flags);

/* The same for the program: born rejected, and not open, when out of memory or
 * when the loop is ending. */
avow_promise *avow__root_open(avow_loop *loop, const char *place,
			      uint32_t flags, bool *is_open);

/* Settle with a plain value or error: nothing to follow.  `from` is whose
 * outcome it came of, or NULL. */
void avow__settle(avow_loop *loop, avow_promise *p, avow_value value,
		  avow_state state, const avow_promise *from);
/* Settle as what `source` was settled with; takes over one use of `source`.
 * Its reactions go to the front of the queue if `in_front`. */
void avow__settle_alias(avow_loop *loop, avow_promise *p, avow_promise *source,
			bool in_front);
/* Settled while it was RUNNING: do now what was put off. */
void avow__finish_late(avow_loop *loop, avow_promise *p);
/* Misuse unless `q`, which `p` is to follow, is there and of this loop. */
static inline void avow__followed_check(const avow_loop *loop,
					const avow_promise *p,
					const avow_promise *q)
{
	CHECK(q, p->place, "avow_await(NULL)");
	CHECK(!(q->word & (DEAD | RAW | POST)), avow__dead_place(q),
	      "avow_await() of a stale handle: the promise is gone");
	CHECK(avow__slab_of(q)->loop == loop, q->place,
	      "avow_await() of a promise of another loop");
}

/* `p` follows `q`, pending or settled. */
void avow__follow(avow_loop *loop, avow_promise *p, avow_promise *q);
/* In ECMAScript's order only: `p`, whose finally has returned, takes what
 * `source` has as late as if it followed a promise. */
void avow__adopt_kept(avow_loop *loop, avow_promise *p, avow_promise *source);
/* A job of `p`, which follows, has come: is it the one that settles `p`, and
 * not yet the one before it? */
bool avow__adopted(avow_loop *loop, avow_promise *p);
void avow__resolve_other(avow_loop *loop, avow_promise *p, avow_value value,
			 const avow_promise *from);
/* Settle a root from outside: the second time is ignored and counted. */
void avow__resolve_root(avow_loop *loop, avow_promise *p, avow_value value);

/*
 * Give `p`, which is pending, off every ring and not running, the outcome
 * `value`, whatever that is: a value, an error, a promise, a thenable.
 */
static inline void avow__resolve(avow_loop *loop, avow_promise *p,
				 avow_value value, const avow_promise *from)
{
	if (!value.type)
		avow__settle(loop, p, value, AVOW_FULFILLED, from);
	else
		avow__resolve_other(loop, p, value, from);
}

/*
 * Settling happens either between two jobs, where an unused promise may be
 * freed at once, or inside a call of the program's, whose handles are good
 * until its callback returns.  Every function of the header that can settle
 * stands between these two.
 */
static inline bool avow__call_begin(avow_loop *loop)
{
	const bool was = loop->is_draining;
	loop->is_draining = false;
	avow__show_jobs(loop);
	return was;
}
static inline void avow__call_end(avow_loop *loop, bool was)
{
	loop->is_draining = was;
}

/* End one use.  The first is for when no code of the program can hold a handle
 * got at this depth (between jobs), the second for inside a call of its. */
void avow__unuse(avow_loop *loop, avow_promise *p);
void avow__unuse_in_call(avow_loop *loop, avow_promise *p);
/* Put a settled, unused promise on the list of its depth. */
void avow__park(avow_loop *loop, avow_promise *p);
/* Nobody else's, and not parked: onto the list of `depth`. */
static inline void avow__park_at(avow_loop *loop, avow_promise *p,
				 unsigned depth)
{
	avow_promise *const tail = loop->parked[depth];
	p->word |= PARKED;
	if (tail) {
		p->next = tail->next;
		tail->next = p;
	} else {
		p->next = p;
	}
	loop->parked[depth] = p;
	if (loop->parked_top < depth)
		loop->parked_top = depth;
	loop->attention |= ATTEND_PARKED;
	/* Also when a drain is on the stack that will reap at this depth: that
	 * may be far below, with a loop nested in one of its handlers. */
	avow__wake(loop);
}
/* Settled and unused, between jobs: free it if its depth allows, or park it. */
void avow__retire(avow_loop *loop, avow_promise *p);

/* What a drop, a report or somebody else's list keeps from being freed in the
 * short way. */
#define PROMISE_NOT_SHORT \
	(EXTRA | ALIAS | PARKED | RUNNING | IMMORTAL | AVOW_REJECTED)

/* avow__retire() of an unused promise between jobs, the short way first. */
INLINE void avow__retire_short(avow_loop *loop, avow_promise *p)
{
	const uint32_t word = p->word;
	/* The depth stands in the highest bits: no need to cut the rest off. */
	if (UNLIKELY(word & PROMISE_NOT_SHORT) ||
	    UNLIKELY(word < loop->depth_word)) {
		avow__retire(loop, p);
		return;
	}
	const avow_value value = p->value;
	avow__node_free(loop, p);
	avow__value_drop(value);
}

INLINE void avow__unuse_short(avow_loop *loop, avow_promise *source)
{
	if (--source->uses == 0)
		avow__retire_short(loop, source);
}

/* Tell of a rejection that nobody can handle any more. */
void avow__unhandled(avow_loop *loop, avow_promise *p);

/* The extra block of `p`, made when there is none; NULL when out of memory. */
struct avow__extra *avow__extra_of(avow_loop *loop, avow_promise *p);
/* `p` has settled: run its drops, free what is not needed any longer. */
void avow__extra_finish(avow_loop *loop, avow_promise *p);
void avow__slots_clear(avow_loop *loop, struct avow__extra *extra);

/* Where a linked, pending promise is linked. */
static inline void avow__unlink(avow_loop *loop, avow_promise *p)
{
	avow_promise *source = p->source;
	if (avow__is_settled(source) || p->word & QUEUED)
		avow__ring_unlink(&loop->jobs, p);
	else
		avow__ring_unlink(&source->tail, p);
	p->word &= ~(uint32_t)QUEUED;
}

/* Supplied by the call layer: `p` settled, its context is of no use now. */
void avow__call_over(avow_loop *loop, avow_promise *p);
/* Supplied by the call layer: the same on cancellation, around the hook. */
void avow__call_hook(avow_loop *loop, avow_promise *p, avow_job_fn *hook,
		     void *arg);
/* Supplied by the call layer: start the thenable of `p`, in its job. */
void avow__thenable_start(avow_loop *loop, avow_promise *p);

#endif
