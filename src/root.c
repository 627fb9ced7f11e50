/*
 * SPDX-License-Identifier: MIT
 *
 * root.c - promises as the program meets them: made and settled by hand,
 * looked at, held and kept in slots.
 */
#include "promise.h"

/* ---------------------------------------------------- Settled from outside */

avow_promise *avow__root(avow_loop *loop, const char *place, uint32_t flags)
{
	avow_promise *p = avow__node_alloc(loop);
	if (UNLIKELY(!p))
		return loop->immortal;
	p->word = loop->birth | ROOT | flags;
	p->uses = 0;
	p->source = NULL;
	p->job = NULL;
	p->arg = NULL;
	p->place = place;
	p->tail = NULL;
	return p;
}

static avow_loop *root_loop_entry(avow_loop *loop, const char *call)
{
	CHECK(loop, NULL, "%s with a NULL loop", call);
	CHECK(loop->thread == avow__self(), NULL,
	      "%s from another thread than the loop's", call);
	return loop;
}

avow_promise *avow__root_open(avow_loop *loop, const char *place,
			      uint32_t flags, bool *is_open)
{
	avow_promise *p = avow__root(loop, place, flags);
	*is_open = LIKELY(!(p->word & IMMORTAL) && !avow__is_closing(loop));
	if (UNLIKELY(!*is_open) && !(p->word & IMMORTAL)) {
		const bool was = avow__call_begin(loop);
		avow__settle(loop, p, avow__core_error(AVOW_EABANDONED),
			     AVOW_REJECTED, NULL);
		avow__call_end(loop, was);
	}
	return p;
}

avow_promise *avow_pending_at(const char *place, avow_loop *loop)
{
	bool is_open;
	root_loop_entry(loop, "avow_pending()");
	return avow__root_open(loop, place, 0, &is_open);
}

static avow_promise *root_born(const char *place, avow_loop *loop,
				  avow_value value)
{
	bool is_open;
	avow__enter(loop);
	avow_promise *p = avow__root_open(loop, place, 0, &is_open);
	if (is_open) {
		const bool was = avow__call_begin(loop);
		avow__resolve(loop, p, value, NULL);
		if (!avow__is_settled(p))
			p->word |= LOCKED;
		avow__call_end(loop, was);
	} else {
		avow__value_drop(value);
	}
	avow__leave(loop);
	return p;
}

avow_promise *avow_resolved_at(const char *place, avow_loop *loop,
			       avow_value value)
{
	root_loop_entry(loop, "avow_resolved()");
	avow__given_check(value);
	const avow_type *const type = value.type;
	if (UNLIKELY(type && (type->then || type->is_error)) ||
	    UNLIKELY(avow__is_closing(loop)))
		return root_born(place, loop, value);
	avow_promise *p = avow__node_alloc(loop);
	if (UNLIKELY(!p))
		return root_born(place, loop, value);
	p->word = loop->birth | ROOT | AVOW_FULFILLED;
	p->uses = 0;
	p->place = place;
	p->value = value;
	avow__park_at(loop, p, avow__depth_of(p));
	return p;
}

/* What to reject with, for any reason given; its text may be the program's. */
static avow_value root_reason(avow_loop *loop, const char *place,
				 avow_value reason)
{
	if (avow__value_is_error(reason))
		return reason;
	CHECK(reason.type != &avow_promise_type, place,
	      "rejected with a promise: avow_resolve() follows one");
	const bool was = avow__call_begin(loop);
	const avow_value error = avow__reason(place, reason);
	avow__call_end(loop, was);
	return error;
}

avow_promise *avow_rejected_at(const char *place, avow_loop *loop,
			       avow_value reason)
{
	root_loop_entry(loop, "avow_rejected()");
	avow__given_check(reason);
	avow__enter(loop);
	avow_promise *p = root_born(place, loop,
				       root_reason(loop, place, reason));
	avow__leave(loop);
	return p;
}

/* In ECMAScript's order a thenable settles who waits for it, with no job of
 * ours between.  Returns that one, off the root `p`; `p` when there is none. */
static avow_promise *root_stands_for(const avow_loop *loop, avow_promise *p)
{
	avow_promise *const f = p->tail;
	if (!(p->word & THENABLE) || !loop->is_ecmascript || !f)
		return p;
	avow__ring_unlink(&p->tail, f);
	f->word &= ~(uint32_t)FOLLOWING;
	p->uses--;
	return f;
}

/* The general way to settle a root from outside. */
static void root_resolve_slowly(avow_loop *loop, avow_promise *p,
				   avow_value value)
{
	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	if (p->word & (STATE_MASK | LOCKED | IMMORTAL)) {
		loop->ignored += !(p->word & IMMORTAL);
		avow__value_drop(value);
	} else {
		p->word |= LOCKED;
		if (p->word & CALL)
			avow__call_over(loop, p);
		avow_promise *const target = root_stands_for(loop, p);
		avow__resolve(loop, target, value, NULL);
		/* The thenable has done its part. */
		if (target != p)
			avow__settle(loop, p, avow__none, AVOW_FULFILLED, NULL);
		else if ((p->word & (FOLLOWING | THENABLE | RUNNING)) ==
		    (FOLLOWING | THENABLE))
			avow__extra_finish(loop, p);
	}
	avow__call_end(loop, was);
	avow__leave(loop);
}

void avow__resolve_root(avow_loop *loop, avow_promise *p, avow_value value)
{
	const avow_type *const type = value.type;
	const uint32_t rare =
		STATE_MASK | LOCKED | IMMORTAL | EXTRA | CALL | RUNNING;
	if (UNLIKELY(p->word & rare) ||
	    UNLIKELY(type && (type->then || type->is_error))) {
		root_resolve_slowly(loop, p, value);
		return;
	}
	/* A plain value, and nothing of the program's runs before the end. */
	avow_promise *const tail = p->tail;
	p->value = value;
	p->word |= AVOW_FULFILLED;
	promise_check(loop, p);
	if (tail)
		avow__ring_splice(&loop->jobs, tail, false);
	if (tail || UNLIKELY(loop->nesting))
		avow__wake(loop); /* somebody may be waiting for it */
	if (p->uses == 0)
		avow__park(loop, p);
}

void avow_resolve(avow_promise *p, avow_value value)
{
	avow_loop *loop = avow__entry(p, "avow_resolve()");
	CHECK((p->word & (ROOT | SEALED | IMMORTAL)) != (ROOT | SEALED) &&
		      p->word & (ROOT | IMMORTAL),
	      p->place, "settling a promise that settles itself");
	avow__given_check(value);
	avow__resolve_root(loop, p, value);
}

void avow_reject(avow_promise *p, avow_value reason)
{
	avow_loop *loop = avow__entry(p, "avow_reject()");
	CHECK((p->word & (ROOT | SEALED | IMMORTAL)) != (ROOT | SEALED) &&
		      p->word & (ROOT | IMMORTAL),
	      p->place, "settling a promise that settles itself");
	avow__given_check(reason);
	avow__enter(loop);
	p->uses++; /* its text may be the program's, and do anything */
	const avow_value error = root_reason(loop, p->place, reason);
	avow__resolve_root(loop, p, error);
	avow__unuse_in_call(loop, p);
	avow__leave(loop);
}

avow_promise *(avow_pending)(avow_loop *loop)
{
	return avow_pending_at(NULL, loop);
}

avow_promise *(avow_resolved)(avow_loop *loop, avow_value value)
{
	return avow_resolved_at(NULL, loop, value);
}

avow_promise *(avow_rejected)(avow_loop *loop, avow_value reason)
{
	return avow_rejected_at(NULL, loop, reason);
}

avow_value avow_await(avow_promise *p)
{
	const avow_loop *loop = avow__entry(p, "avow_await()");
	p->word |= AWAITED;
	/* Its handle is good until this callback returns, as if got in it. */
	if ((p->word & (STATE_MASK | FOLLOWING | KEEP)) == FOLLOWING)
		p->since = (uintptr_t)loop->tick;
	const unsigned depth = avow__depth_now(loop);
	if (UNLIKELY(avow__depth_of(p) > depth))
		p->word = (p->word & ((1u << DEPTH_SHIFT) - 1)) |
			  (uint32_t)depth << DEPTH_SHIFT;
	const avow_value value = { { p }, &avow_promise_type };
	return value;
}

/* -------------------------------------------------------- Looking, holding */

avow_state avow_state_of(const avow_promise *p)
{
	(void)avow__entry(p, "avow_state_of()");
	return (avow_state)(p->word & STATE_MASK);
}

avow_value avow_value_of(const avow_promise *p)
{
	(void)avow__entry(p, "avow_value_of()");
	CHECK(avow__is_settled(p), p->place, "value of a pending promise");
	const avow_value value = avow__owner(p)->value;
	avow__lend(value);
	return value;
}

avow_loop *avow_loop_of(const avow_promise *p)
{
	return avow__entry(p, "avow_loop_of()");
}

void avow_hold(avow_promise *p)
{
	(void)avow__entry(p, "avow_hold()");
	CHECK(p->uses < UINT32_MAX / 2, p->place, "held too many times");
	p->uses++;
}

void avow_release(avow_promise *p)
{
	if (!p)
		return;
	avow_loop *loop = avow__entry(p, "avow_release()");
	CHECK(p->uses > 0, p->place, "released more often than held");
	avow__unuse_in_call(loop, p);
}

void avow_slot(avow_promise *p, avow_promise **where)
{
	avow_loop *loop = avow__entry(p, "avow_slot()");
	CHECK(where, p->place, "avow_slot() with no place for the pointer");
	*where = NULL;
	if (p->word & IMMORTAL)
		return;
	struct avow__slot *slot = avow__node_alloc(loop);
	if (!slot)
		return;
	slot->word = RAW;
	struct avow__extra *extra = avow__extra_of(loop, p);
	if (!extra) {
		avow__raw_free(loop, slot);
		return;
	}
	slot->where = where;
	slot->next = extra->slots;
	extra->slots = slot;
	*where = p;
}

/* The last slot is gone: what a settled promise holds can move again. */
static void root_extra_end(avow_loop *loop, avow_promise *p)
{
	struct avow__extra *const extra = p->extra;
	if (!avow__is_settled(p) || p->word & RUNNING || extra->slots ||
	    avow__shared_of(extra) || (p->word & ROOT && extra->memory))
		return;
	p->word &= ~(uint32_t)EXTRA;
	p->fn = NULL;
	avow__raw_free(loop, extra);
}

void avow_unslot(avow_promise **where)
{
	CHECK(where, NULL, "avow_unslot(NULL)");
	avow_promise *p = *where;
	if (!p)
		return;
	avow_loop *loop = avow__entry(p, "avow_unslot()");
	*where = NULL;
	if (!(p->word & EXTRA))
		return;
	/* Linear: a promise has few slots. */
	struct avow__slot **link = &p->extra->slots;
	while (*link && (*link)->where != where)
		link = &(*link)->next;
	struct avow__slot *slot = *link;
	if (slot) {
		*link = slot->next;
		avow__raw_free(loop, slot);
		root_extra_end(loop, p);
	}
}
