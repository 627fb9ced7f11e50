/*
 * SPDX-License-Identifier: MIT
 *
 * promise.c - the state machine of a promise: pending, then settled once, by a
 * value of its own or by that of a promise it follows; then reaped.
 *
 * Nothing here recurses: settling moves a ring to the job queue, followers
 * come up there one by one, and an alias points at the owner of a value and
 * never at another alias.
 */
#include "promise.h"

/* ---------------------------------------------------------------- Reaping */

void avow__unhandled(avow_loop *loop, avow_promise *p)
{
	const avow_value error = avow__owner(p)->value;
	if (avow_error_is(error, &avow_core_domain, AVOW_ECANCELLED) ||
	    (avow__is_closing(loop) &&
	     avow_error_is(error, &avow_core_domain, AVOW_EABANDONED)))
		return;
	avow_report report = { .kind = AVOW_REPORT_UNHANDLED, .error = error };
	const char *const place[4] = {
		p->place, p->place_before, p->place_older,
		p->word & EXTRA ? NULL : p->place_oldest
	};
	for (size_t i = 0; i < 4 && place[i]; i++) {
		if (*place[i])
			report.place[report.place_count++] = place[i];
	}
	/* The hook may look at anything but this promise. */
	p->word |= HANDLED | RUNNING;
	avow__report(loop, &report);
	p->word &= ~(uint32_t)RUNNING;
}

void avow__slots_clear(avow_loop *loop, struct avow__extra *extra)
{
	while (extra->slots) {
		struct avow__slot *slot = extra->slots;
		extra->slots = slot->next;
		*slot->where = NULL;
		avow__node_free(loop, slot);
	}
}

/* Free `p`: settled, unused, off every list. */
static void promise_free(avow_loop *loop, avow_promise *p)
{
	const uint32_t word = p->word;
	if (UNLIKELY((word & (AVOW_REJECTED | HANDLED)) == AVOW_REJECTED)) {
		avow__unhandled(loop, p);
		/* The hook can have held it only through a slot. */
		if (p->uses || p->word & PARKED)
			return;
	}
	struct avow__memory *memory = NULL;
	if (UNLIKELY(word & EXTRA)) {
		struct avow__extra *extra = p->extra;
		avow__slots_clear(loop, extra);
		memory = word & ROOT ? extra->memory : NULL;
		avow__node_free(loop, extra);
	}
	if (word & ALIAS) {
		avow_promise *owner = p->owner;
		avow__node_free(loop, p);
		avow__unuse(loop, owner);
	} else {
		const avow_value value = p->value;
		avow__node_free(loop, p);
		avow__value_drop(value);
	}
	if (UNLIKELY(memory))
		avow__memory_free(memory);
}

void avow__memory_free(struct avow__memory *memory)
{
	while (memory) {
		struct avow__memory *next = memory->next;
		avow__free(memory);
		memory = next;
	}
}

/* Nobody else's, and not parked: onto the list of `depth`. */
static inline void promise_park_at(avow_loop *loop, avow_promise *p,
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

void avow__park(avow_loop *loop, avow_promise *p)
{
	if (p->word & (PARKED | RUNNING | IMMORTAL))
		return;
	unsigned depth = avow__depth_of(p);
	if (UNLIKELY(avow__is_nested(loop))) {
		const unsigned now = avow__depth_now(loop);
		depth = depth < now ? depth : now;
	}
	promise_park_at(loop, p, depth);
}

void avow__retire(avow_loop *loop, avow_promise *p)
{
	if (UNLIKELY(p->word & (PARKED | RUNNING | IMMORTAL)))
		return;
	if (LIKELY(avow__depth_of(p) >= loop->depth && loop->is_draining))
		promise_free(loop, p);
	else
		avow__park(loop, p);
}

void avow__unuse(avow_loop *loop, avow_promise *p)
{
	if (--p->uses == 0 && avow__is_settled(p))
		avow__retire(loop, p);
}

void avow__unuse_in_call(avow_loop *loop, avow_promise *p)
{
	if (--p->uses == 0 && avow__is_settled(p))
		avow__park(loop, p);
}

/* The program may park more from inside a drop: that is another list then. */
static inline void promise_reap_list(avow_loop *loop, avow_promise **list)
{
	avow_promise *const tail = *list;
	if (!tail)
		return;
	*list = NULL;
	for (avow_promise *p = tail->next, *next;; p = next) {
		const bool is_last = p == tail;
		next = p->next;
		p->word &= ~(uint32_t)PARKED;
		if (p->uses == 0 && !(p->word & RUNNING))
			promise_free(loop, p);
		if (is_last)
			return;
	}
}

void avow__reap(avow_loop *loop, unsigned depth)
{
	while (loop->parked_top >= depth) {
		const unsigned top = loop->parked_top;
		promise_reap_list(loop, &loop->parked[top]);
		/* A drop may have parked deeper, or here again. */
		if (loop->parked_top == top && !loop->parked[top])
			loop->parked_top = top - 1;
	}
	if (!loop->parked_top)
		loop->attention &= (unsigned char)~ATTEND_PARKED;
}

/* ----------------------------------------------------------------- Extras */

struct avow__extra *avow__extra_of(avow_loop *loop, avow_promise *p)
{
	if (p->word & EXTRA)
		return p->extra;
	struct avow__extra *extra = avow__node_alloc(loop);
	if (!extra)
		return NULL;
	*extra = (struct avow__extra){ .word = RAW };
	if (!avow__is_settled(p)) {
		extra->fn = p->fn;
		extra->arg = p->arg;
	}
	p->extra = extra;
	p->word |= EXTRA;
	return extra;
}

void avow__extra_finish(avow_loop *loop, avow_promise *p)
{
	struct avow__extra *extra = p->extra;
	const bool is_root = p->word & ROOT;
	const avow_value thenable =
		p->word & THENABLE ? extra->thenable : avow__none;
	void *const arg = extra->arg;
	avow_drop_fn *const drop = p->word & THENABLE ? NULL : extra->drop;
	const size_t copy_size = extra->copy_size;

	p->word &= ~(uint32_t)THENABLE;
	extra->arg = NULL;
	extra->drop = NULL;
	extra->copy_size = 0;
	if (!extra->slots && !(is_root && extra->memory)) {
		p->word &= ~(uint32_t)EXTRA;
		p->fn = NULL;
		avow__node_free(loop, extra);
	}
	/* Now that nothing is in between: the program's code. */
	if (drop)
		drop(arg);
	if (copy_size)
		avow_block_free_(arg, copy_size);
	avow__value_drop(thenable);
}

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
	if (tail) {
		avow__ring_splice(&loop->jobs, tail, in_front);
		/* Between jobs the drain itself looks. */
		if (!loop->is_draining)
			avow__wake(loop);
	}
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
	if (LIKELY(promise_is_last_reader(loop, source))) {
		/* It hands on what it has: the value, or the owner of it. */
		const uint32_t tell = p->word & (EXTRA | CALL | RUNNING);
		p->value = source->value;
		p->word |= word & (ALIAS | STATE_MASK);
		if (word & AVOW_REJECTED && !tell)
			promise_places(p, source);
		avow__node_free(loop, source);
		if (UNLIKELY(tell))
			promise_settled(loop, p, NULL);
		else if (p->uses == 0)
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
static void promise_collapse(avow_loop *loop, avow_promise *p)
{
	avow_promise *f = p->tail;
	if (p->uses != 1 || !f)
		return;
	const uint32_t want = FOLLOWING | AWAITED;
	const uint32_t avoid = KEEP | EXTRA | CALL | RUNNING | SHIELD;
	if ((f->word & (want | avoid)) != want || f->uses != 1 ||
	    f->tick == (uintptr_t)loop->tick || avow__depth_of(f) < avow__depth_now(loop))
		return;
	avow_promise *g = f->tail;
	if (!g || !(g->word & FOLLOWING))
		return;
	g->next = g->back = g;
	g->source = p;
	p->tail = g;
	f->word &= ~(uint32_t)FOLLOWING;
	avow__node_free(loop, f);
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

void avow__follow(avow_loop *loop, avow_promise *p, avow_promise *q)
{
	CHECK(q, p->place, "avow_await(NULL)");
	CHECK(!(q->word & DEAD), q->place, "avow_await() of a stale handle");
	CHECK(avow__slab_of(q)->loop == loop, q->place,
	      "avow_await() of a promise of another loop");
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
	q->uses++;
	q->word |= HANDLED | FOLLOWED;
	p->word |= FOLLOWING;
	p->source = q;
	avow__ring_append(&q->tail, p);
	if (!(p->word & KEEP)) {
		p->tick = (uintptr_t)loop->tick;
		promise_collapse(loop, p);
		/* Ticks are counted by drains; there must be one before the
		 * next callback. */
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
		avow__settle(loop, p, avow_errno(12 /* ENOMEM */),
			     AVOW_REJECTED, NULL);
		avow__value_drop(thenable);
		return;
	}
	root->word |= THENABLE | QUEUED;
	extra->thenable = thenable;
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

/* ------------------------------------------------------- Roots, from outside */

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

static avow_loop *promise_loop_entry(avow_loop *loop, const char *call)
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
	promise_loop_entry(loop, "avow_pending()");
	return avow__root_open(loop, place, 0, &is_open);
}

static avow_promise *promise_born(const char *place, avow_loop *loop,
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
	promise_loop_entry(loop, "avow_resolved()");
	const avow_type *const type = value.type;
	if (UNLIKELY(type && (type->then || type->is_error)) ||
	    UNLIKELY(avow__is_closing(loop)))
		return promise_born(place, loop, value);
	avow_promise *p = avow__node_alloc(loop);
	if (UNLIKELY(!p))
		return promise_born(place, loop, value);
	avow__lent_check(loop, p, value);
	p->word = loop->birth | ROOT | AVOW_FULFILLED;
	p->uses = 0;
	p->place = place;
	p->value = value;
	promise_park_at(loop, p, avow__depth_of(p));
	return p;
}

/* What to reject with, for any reason given; its text may be the program's. */
static avow_value promise_reason(avow_loop *loop, const char *place,
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
	promise_loop_entry(loop, "avow_rejected()");
	avow__enter(loop);
	avow_promise *p = promise_born(place, loop,
				       promise_reason(loop, place, reason));
	avow__leave(loop);
	return p;
}

/* The general way to settle a root from outside. */
static void promise_resolve_slowly(avow_loop *loop, avow_promise *p,
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
		avow__resolve(loop, p, value, NULL);
	}
	avow__call_end(loop, was);
	avow__leave(loop);
}

void avow__resolve_root(avow_loop *loop, avow_promise *p, avow_value value)
{
	const avow_type *const type = value.type;
	const uint32_t rare =
		STATE_MASK | LOCKED | IMMORTAL | EXTRA | CALL | RUNNING;
	avow__lent_check(loop, p, value);
	if (UNLIKELY(p->word & rare) ||
	    UNLIKELY(type && (type->then || type->is_error))) {
		promise_resolve_slowly(loop, p, value);
		return;
	}
	/* A plain value, and nothing of the program's runs before the end. */
	avow_promise *const tail = p->tail;
	p->value = value;
	p->word |= AVOW_FULFILLED;
	promise_check(loop, p);
	if (tail) {
		avow__ring_splice(&loop->jobs, tail, false);
		avow__wake(loop);
	}
	if (p->uses == 0)
		avow__park(loop, p);
}

void avow_resolve(avow_promise *p, avow_value value)
{
	avow_loop *loop = avow__entry(p, "avow_resolve()");
	CHECK((p->word & (ROOT | SEALED | IMMORTAL)) != (ROOT | SEALED) &&
		      p->word & (ROOT | IMMORTAL),
	      p->place, "settling a promise that settles itself");
	avow__resolve_root(loop, p, value);
}

void avow_reject(avow_promise *p, avow_value reason)
{
	avow_loop *loop = avow__entry(p, "avow_reject()");
	CHECK((p->word & (ROOT | SEALED | IMMORTAL)) != (ROOT | SEALED) &&
		      p->word & (ROOT | IMMORTAL),
	      p->place, "settling a promise that settles itself");
	avow__enter(loop);
	avow__resolve_root(loop, p, promise_reason(loop, p->place, reason));
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
	(void)avow__entry(p, "avow_await()");
	p->word |= AWAITED;
	const avow_value value = { { p }, &avow_promise_type };
	return value;
}

/* ----------------------------------------------------------- Looking, holding */

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
	*where = NULL;
	if (p->word & IMMORTAL)
		return;
	struct avow__slot *slot = avow__node_alloc(loop);
	if (!slot)
		return;
	slot->word = RAW;
	struct avow__extra *extra = avow__extra_of(loop, p);
	if (!extra) {
		avow__node_free(loop, slot);
		return;
	}
	slot->where = where;
	slot->next = extra->slots;
	extra->slots = slot;
	*where = p;
}

void avow_unslot(avow_promise **where)
{
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
		avow__node_free(loop, slot);
	}
}
