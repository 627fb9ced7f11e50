/*
 * SPDX-License-Identifier: MIT
 *
 * promise.c - the state machine of a promise: pending, then settled once, by a
 * value of its own or by that of a promise it follows.
 *
 * Nothing here recurses: settling moves a ring to the job queue, followers
 * come up there one by one, and an alias points at the owner of a value and
 * never at another alias.
 */
#include "promise.h"

/* --------------------------------------------------------------- Settling */

/* Where a rejection came through, newest first, in fields that are dead now.
 * `from` is NULL for one that was settled from outside. */
static void promise_places(avow_promise *p, const avow_promise *from)
{
	/* A RUNNING one has not come to its own places yet. */
	const bool is_passed = from && from->word & AVOW_REJECTED &&
			       !(from->word & (IMMORTAL | RUNNING));
	p->place_before = from ? from->place : NULL;
	const char *const oldest = is_passed ? from->place_older : NULL;
	p->place_older = is_passed ? from->place_before : NULL;
	if (!(p->word & EXTRA))
		p->place_oldest = oldest;
}

/*
 * The rest of settling: what `p` kept is let go, and so is `p` itself when
 * nobody uses it.  Whoever runs `p` does this later: its handler may still use
 * what is dropped here.
 */
static inline void promise_settled(avow_loop *loop, avow_promise *p,
				   const avow_promise *from)
{
	if (UNLIKELY(p->word & (EXTRA | CALL | RUNNING))) {
		if (p->word & RUNNING)
			return;
		p->word |= RUNNING;
		if (p->word & CALL)
			avow__call_over(loop, p);
		if (p->word & EXTRA)
			avow__extra_finish(loop, p);
		p->word &= ~(uint32_t)RUNNING;
	}
	if (p->word & AVOW_REJECTED)
		promise_places(p, from);
	promise_check(loop, p);
	if (p->uses == 0)
		avow__retire(loop, p);
}

static inline void promise_ring_out(avow_loop *loop, avow_promise *tail,
				    bool in_front)
{
	if (tail)
		avow__ring_splice(&loop->jobs, tail, in_front);
	/* Between jobs the drain itself looks.  Somebody may be waiting. */
	if (!loop->is_draining && (tail || loop->nesting))
		avow__wake(loop);
}

void avow__settle(avow_loop *loop, avow_promise *p, avow_value value,
		  avow_state state, const avow_promise *from)
{
	avow_promise *const tail = p->tail;
	p->value = value;
	p->word |= (uint32_t)state;
	promise_ring_out(loop, tail, false);
	promise_settled(loop, p, from);
}

/*
 * Does nobody but `p`, which has one use of `source`, read it any more, so that
 * it may be freed on the spot?  Between two jobs only.
 */
static inline bool promise_is_last_reader(const avow_loop *loop,
					  const avow_promise *source)
{
	return source->uses == 1 && loop->is_draining &&
	       !(source->word & (EXTRA | PARKED | RUNNING | IMMORTAL)) &&
	       avow__depth_of(source) >= loop->depth;
}

void avow__settle_alias(avow_loop *loop, avow_promise *p, avow_promise *source,
			bool in_front)
{
	avow_promise *const tail = p->tail;
	const uint32_t word = source->word;
	promise_ring_out(loop, tail, in_front);
	if (LIKELY(!(p->word & (EXTRA | CALL | RUNNING)) &&
		   promise_is_last_reader(loop, source))) {
		/* It hands on what it has: the value, or the owner of it. */
		p->value = source->value;
		p->word |= word & (ALIAS | STATE_MASK);
		if (word & AVOW_REJECTED)
			promise_places(p, source);
		avow__node_free(loop, source);
		if (p->uses == 0)
			avow__retire(loop, p);
		return;
	}
	avow_promise *const owner = avow__owner(source);
	p->owner = owner;
	p->word |= ALIAS | (word & STATE_MASK);
	if (owner != source)
		owner->uses++;
	promise_settled(loop, p, source);
	if (owner != source)
		avow__unuse(loop, source);
}

void avow__finish_late(avow_loop *loop, avow_promise *p)
{
	p->word &= ~(uint32_t)RUNNING;
	promise_settled(loop, p, NULL);
}

/* -------------------------------------------------------------- Following */

/* Would `p` wait for itself?  Only who is followed can: the walk is skipped
 * for all others, and it ends at the first promise that follows nobody. */
static bool promise_is_cycle(const avow_promise *p, const avow_promise *q)
{
	if (p->word & FOLLOWED) {
		while (q != p && !avow__is_settled(q) && q->word & FOLLOWING)
			q = q->source;
	}
	return q == p;
}

/*
 * Following collapses, one lap behind.  `p` has begun to follow another; when
 * its only consumer is a follower `f` that was handed over by avow_await(), in
 * an earlier callback, then no handle of `f` is good any more, and `f` only
 * passes on to its own single follower what it gets from `p`.  So `f` goes,
 * and a promise loop runs in constant memory.
 */
static bool promise_collapse(avow_loop *loop, avow_promise *p)
{
	avow_promise *f = p->tail;
	if (p->uses != 1 || !f)
		return false;
	const uint32_t want = FOLLOWING | AWAITED;
	const uint32_t avoid = KEEP | EXTRA | CALL | RUNNING | SHIELD;
	if ((f->word & (want | avoid)) != want || f->uses != 1 ||
	    f->since == (uintptr_t)loop->tick ||
	    avow__depth_of(f) < avow__depth_now(loop))
		return false;
	avow_promise *g = f->tail;
	if (!g || !(g->word & FOLLOWING))
		return false;
	g->next = g->back = g;
	g->source = p;
	p->tail = g;
	f->word &= ~(uint32_t)FOLLOWING;
	avow__node_free(loop, f);
	return true;
}

/* A fulfilled promise handed over by avow_await() in the handler that has just
 * returned, wanted by nobody else: what it holds can move. */
static bool promise_is_given_up(const avow_loop *loop, const avow_promise *q)
{
	const uint32_t want = AVOW_FULFILLED | AWAITED | PARKED;
	return (q->word & (want | EXTRA | ALIAS | RUNNING)) == want &&
	       q->uses == 0 && loop->is_draining &&
	       avow__depth_of(q) >= loop->depth;
}

/* `p`, linked nowhere, is linked in `ring` until it takes what `q` has. */
static void promise_link(avow_promise *p, avow_promise *q, avow_promise **ring)
{
	q->uses++;
	q->word |= HANDLED | FOLLOWED;
	p->word |= FOLLOWING;
	p->source = q;
	avow__ring_append(ring, p);
}

/*
 * The same in ECMAScript's order, where a job of its own attaches to `q` and a
 * second one takes what it has, settled or not; see avow__adopted().  Behind a
 * finally the two stand the other way round.
 */
static void promise_adopt(avow_loop *loop, avow_promise *p, avow_promise *q)
{
	const bool is_pending = !avow__is_settled(q);
	if (is_pending && promise_is_cycle(p, q)) {
		avow__settle(loop, p, avow__core_error(AVOW_ECYCLE),
			     AVOW_REJECTED, NULL);
		return;
	}
	if (p->word & KEEP) {
		promise_link(p, q, is_pending ? &q->tail : &loop->jobs);
	} else {
		p->since = (uintptr_t)loop->tick;
		p->word |= QUEUED;
		promise_link(p, q, &loop->jobs);
	}
	avow__wake(loop);
}

void avow__adopt_kept(avow_loop *loop, avow_promise *p, avow_promise *source)
{
	p->original = source;
	promise_link(p, source, &loop->jobs);
	avow__wake(loop);
}

bool avow__adopted(avow_loop *loop, avow_promise *p)
{
	const bool is_first = !(p->word & QUEUED) == !!(p->word & KEEP);
	if (is_first) {
		avow_promise *const q = p->source;
		p->word ^= QUEUED;
		avow__ring_append(avow__is_settled(q) ? &loop->jobs : &q->tail,
				  p);
		avow__wake(loop);
		return false;
	}
	p->word &= ~(uint32_t)QUEUED;
	return true;
}

void avow__follow(avow_loop *loop, avow_promise *p, avow_promise *q)
{
	avow__followed_check(loop, p, q);
	if (UNLIKELY(loop->is_ecmascript)) {
		promise_adopt(loop, p, q);
		return;
	}
	if (promise_is_given_up(loop, q)) {
		const avow_value value = q->value;
		q->value = avow__none;
		avow__settle(loop, p, value, AVOW_FULFILLED, NULL);
		return;
	}
	if (avow__is_settled(q)) {
		q->word |= HANDLED;
		q->uses++;
		avow__settle_alias(loop, p, q, false);
		return;
	}
	if (UNLIKELY(promise_is_cycle(p, q))) {
		avow__settle(loop, p, avow__core_error(AVOW_ECYCLE),
			     AVOW_REJECTED, NULL);
		return;
	}
	promise_link(p, q, &q->tail);
	if (!(p->word & KEEP)) {
		p->since = (uintptr_t)loop->tick;
		/* Each round takes one away, so it ends. */
		while (promise_collapse(loop, p))
			;
		/* Callbacks are told apart by drains; there must be one
		 * before the next. */
		if (!loop->is_draining)
			avow__wake(loop);
	}
}

/* A thenable gets a root of its own, which `p` follows; a job starts it. */
static void promise_assimilate(avow_loop *loop, avow_promise *p,
			       avow_value thenable)
{
	avow_promise *root = avow__root(loop, p->place, SEALED | AWAITED);
	struct avow__extra *extra =
		root->word & IMMORTAL ? NULL : avow__extra_of(loop, root);
	if (!extra) {
		if (!(root->word & IMMORTAL))
			avow__node_free(loop, root);
		avow__settle(loop, p, avow_errno(ENOMEM),
			     AVOW_REJECTED, NULL);
		avow__value_drop(thenable);
		return;
	}
	root->word |= THENABLE | QUEUED;
	extra->thenable = thenable;
	if (UNLIKELY(loop->is_ecmascript))
		promise_link(p, root, &root->tail);
	else
		avow__follow(loop, p, root);
	avow__job_append(loop, root);
}

void avow__resolve_other(avow_loop *loop, avow_promise *p, avow_value value,
			 const avow_promise *from)
{
	if (value.type == &avow_promise_type) {
		avow__follow(loop, p, value.as.ptr);
	} else if (value.type->is_error) {
		avow__settle(loop, p, value, AVOW_REJECTED, from);
	} else if (value.type->then) {
		promise_assimilate(loop, p, value);
	} else {
		avow__settle(loop, p, value, AVOW_FULFILLED, from);
	}
}
