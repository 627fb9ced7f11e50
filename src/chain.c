/*
 * SPDX-License-Identifier: MIT
 *
 * chain.c - attaching reactions, and running them.
 *
 * The promise that avow_then() returns is itself the reaction on its source:
 * one node, linked into the source's ring while that is pending, and into the
 * job queue after.  This is the path that every `then` takes; what it costs is
 * measured in bench/.
 */
#include "chain.h"

/* -------------------------------------------------------------- Attaching */

/* Nothing could be attached: what would have been dropped later goes now. */
static avow_promise *chain_refuse(avow_loop *loop,
				  const avow_handlers *handlers)
{
	avow_promise *const immortal = loop->immortal;
	if (handlers && handlers->drop) {
		void *const arg = handlers->copy && handlers->copy_size
					  ? (void *)(uintptr_t)handlers->copy
					  : handlers->arg;
		avow__enter(loop);
		handlers->drop(arg);
		avow__leave(loop);
	}
	return immortal;
}

/* Link `p`, filled in but for its source, behind what `source` has. */
static inline void chain_link(avow_promise **ring, avow_promise *p,
			      avow_promise *source)
{
	p->uses = 0;
	p->source = source;
	p->tail = NULL;
	source->uses++;
	source->word |= HANDLED;
	avow__ring_append(ring, p);
	promise_check(avow__slab_of(p)->loop, source);
	promise_check(avow__slab_of(p)->loop, p);
}

static avow_promise **chain_ring(avow_loop *loop, avow_promise *source)
{
	return avow__is_settled(source) ? &loop->jobs : &source->tail;
}

/* avow__entry() that says where, too. */
static avow_loop *chain_entry(const char *place, const avow_promise *source)
{
	if (!place)
		place = "a place that was not recorded";
	CHECK(source, NULL, "attaching to a NULL promise at %s", place);
	CHECK(!(source->word & (DEAD | RAW | POST)), avow__dead_place(source),
	      "attaching at %s to a stale handle: the promise is gone, hold it",
	      place);
	CHECK(avow__slab_of(source)->loop->thread == avow__self(),
	      source->place,
	      "attaching at %s from another thread than the loop's", place);
	return avow__slab_of(source)->loop;
}

/* The whole of attaching, with every check. */
static avow_promise *chain_attach_slowly(const char *place,
					 avow_promise *source,
					 avow_handler_fn *fn, void *arg,
					 uint32_t when)
{
	avow_loop *loop = chain_entry(place, source);
	avow_promise *p = avow__node_alloc(loop);
	if (UNLIKELY(!p))
		return chain_refuse(loop, NULL);
	p->word = loop->birth | (fn ? when : when & SHIELD);
	p->fn = fn;
	p->arg = arg;
	p->place = place;
	chain_link(chain_ring(loop, source), p, source);
	if (avow__is_settled(source))
		avow__wake(loop);
	return p;
}

static avow_promise *chain_wake(avow_loop *loop, avow_promise *p)
{
	avow__wake(loop);
	return p;
}

/* The same when all is well.  It calls nothing before its end, so that the
 * compiler needs no stack for it. */
INLINE avow_promise *chain_attach(const char *place, avow_promise *source,
				  avow_handler_fn *fn, void *arg, uint32_t when)
{
	if (UNLIKELY(!source || !fn || source->word & (DEAD | RAW | POST)))
		return chain_attach_slowly(place, source, fn, arg, when);
	avow_loop *const loop = avow__slab_of(source)->loop;
	const uint64_t bits = loop->bits;
	if (UNLIKELY(!bits || loop->thread != avow__self()))
		return chain_attach_slowly(place, source, fn, arg, when);
	avow_promise *const p = avow__node_alloc(loop);
	p->word = loop->birth | when;
	p->fn = fn;
	p->arg = arg;
	p->place = place;
	if (avow__is_settled(source)) {
		chain_link(&loop->jobs, p, source);
		if (UNLIKELY(!loop->is_fed))
			return chain_wake(loop, p);
	} else {
		chain_link(&source->tail, p, source);
	}
	return p;
}

avow_promise *avow_then_at(const char *place, avow_promise *p,
			   avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_FULFILLED);
}

avow_promise *avow_catch_at(const char *place, avow_promise *p,
			    avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_REJECTED);
}

avow_promise *avow_finally_at(const char *place, avow_promise *p,
			      avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, FINALLY);
}

avow_promise *avow_tap_at(const char *place, avow_promise *p,
			  avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_FULFILLED | KEEP);
}

avow_promise *avow_tap_catch_at(const char *place, avow_promise *p,
				avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_REJECTED | KEEP);
}

avow_promise *avow_shield_at(const char *place, avow_promise *p)
{
	return chain_attach(place, p, NULL, NULL, SHIELD);
}

/* The same by function, for whoever takes their address: no place is known. */
avow_promise *(avow_then)(avow_promise *p, avow_handler_fn *fn, void *arg)
{
	return avow_then_at(NULL, p, fn, arg);
}

avow_promise *(avow_catch)(avow_promise *p, avow_handler_fn *fn, void *arg)
{
	return avow_catch_at(NULL, p, fn, arg);
}

avow_promise *(avow_finally)(avow_promise *p, avow_handler_fn *fn, void *arg)
{
	return avow_finally_at(NULL, p, fn, arg);
}

avow_promise *(avow_tap)(avow_promise *p, avow_handler_fn *fn, void *arg)
{
	return avow_tap_at(NULL, p, fn, arg);
}

avow_promise *(avow_tap_catch)(avow_promise *p, avow_handler_fn *fn, void *arg)
{
	return avow_tap_catch_at(NULL, p, fn, arg);
}

avow_promise *(avow_shield)(avow_promise *p)
{
	return avow_shield_at(NULL, p);
}

/*
 * The long form: an extra block beside the node, and a copy where one is
 * asked for.  Everything is allocated before anything can be seen.
 */
static avow_promise *chain_attach_extra(const char *place, avow_promise *source,
					const avow_handlers *h, uint32_t when,
					const avow_domain *domain, int code)
{
	avow_loop *loop = chain_entry(place, source);
	const size_t copy_size = h->copy ? h->copy_size : 0;
	void *arg = h->arg;
	struct avow__extra *extra = NULL;
	avow_promise *p = NULL;

	if (copy_size) {
		arg = avow_block_alloc_(copy_size);
		if (!arg)
			goto fail_copy;
		memcpy(arg, h->copy, copy_size);
	}
	extra = avow__node_alloc(loop);
	if (!extra)
		goto fail_extra;
	p = avow__node_alloc(loop);
	if (!p)
		goto fail_node;

	*extra = (struct avow__extra){ .word = RAW, .code = code };
	extra->fn = h->finally ? h->finally : h->fulfilled;
	extra->rejected = h->finally ? NULL : h->rejected;
	extra->arg = arg;
	extra->drop = h->drop;
	extra->domain = domain;
	extra->copy_size = copy_size;
	p->word = loop->birth | EXTRA | when;
	p->extra = extra;
	p->arg = NULL;
	p->place = place;
	chain_link(chain_ring(loop, source), p, source);
	if (avow__is_settled(source))
		avow__wake(loop);
	return p;

fail_node:
	avow__raw_free(loop, extra);
fail_extra:
	if (copy_size)
		avow_block_free_(arg, copy_size);
fail_copy:
	return chain_refuse(loop, h);
}

static uint32_t chain_when(const avow_handlers *h)
{
	if (h->finally)
		return FINALLY;
	const uint32_t when = (h->fulfilled ? ON_FULFILLED : 0) |
			      (h->rejected ? ON_REJECTED : 0);
	return when;
}

avow_promise *avow_on_at(const char *place, avow_promise *p,
			 const avow_handlers *handlers)
{
	CHECK(!handlers->finally ||
		      (!handlers->fulfilled && !handlers->rejected),
	      place, "avow_on(): .finally excludes .fulfilled and .rejected");
	return chain_attach_extra(place, p, handlers, chain_when(handlers),
				  NULL, 0);
}

bool avow_try_(const char *place, avow_promise *p,
	       const avow_handlers *handlers)
{
	return !(avow_on_at(place, p, handlers)->word & IMMORTAL);
}

avow_promise *avow_then_copy_at(const char *place, avow_promise *p,
				avow_handler_fn *fn, const void *copy,
				size_t copy_size)
{
	const avow_handlers handlers = { .fulfilled = fn,
					 .copy = copy,
					 .copy_size = copy_size };
	return avow_on_at(place, p, &handlers);
}

avow_promise *avow_attach_at(const char *place, avow_promise *p, void *ptr,
			     avow_drop_fn *drop)
{
	const avow_handlers handlers = { .arg = ptr, .drop = drop };
	return avow_on_at(place, p, &handlers);
}

avow_promise *(avow_attach)(avow_promise *p, void *ptr, avow_drop_fn *drop)
{
	return avow_attach_at(NULL, p, ptr, drop);
}

avow_promise *avow_catch_code_at(const char *place, avow_promise *p,
				 const avow_domain *domain, int code,
				 avow_handler_fn *fn, void *arg)
{
	const avow_handlers handlers = { .rejected = fn, .arg = arg };
	return chain_attach_extra(place, p, &handlers, chain_when(&handlers),
				  domain, code);
}

avow_promise *(avow_catch_code)(avow_promise *p, const avow_domain *domain,
				int code, avow_handler_fn *fn, void *arg)
{
	return avow_catch_code_at(NULL, p, domain, code, fn, arg);
}

/* ---------------------------------------------------------------- Running */

/* Did the handler return the very value it was given? */
static bool chain_is_given(const avow_promise *p, const avow_promise *source,
			   avow_value result)
{
	return !(p->word & TOOK) &&
	       avow__value_same(result, avow__owner(source)->value);
}

/*
 * The handler of a promise that was cancelled meanwhile has returned: what it
 * gave is not wanted, and neither is work that nobody else waits for.  Only
 * the cleanup of a finally goes on, in a node of its own.
 */
static void chain_unwanted(avow_loop *loop, avow_promise *p,
			   avow_promise *source, avow_value result)
{
	avow_promise *q = result.type == &avow_promise_type ? result.as.ptr
							    : NULL;
	if ((p->word & FINALLY) == FINALLY) {
		if (avow__finally_goes_on(loop, p, source, result))
			q = NULL;
	} else if (!q && !chain_is_given(p, source, result)) {
		avow__value_drop(result);
	}
	if (q && !avow__is_settled(q) && q->uses == 0)
		avow_cancel(q);
	avow__finish_late(loop, p);
	avow__unuse_short(loop, source);
}

/* What a finally that was cancelled passes on is nobody's any more: only a
 * failure of its own is told (chain.h). */
static inline void chain_passes_on(avow_promise *p)
{
	if ((p->word & (ROOT | STAND_IN)) == STAND_IN)
		p->word |= HANDLED;
}

static void chain_keep_waiting(avow_loop *loop, avow_promise *p,
			       avow_promise *source, avow_promise *q)
{
	avow__followed_check(loop, p, q);
	if (avow__is_settled(q) && !(q->word & AVOW_REJECTED) &&
	    !loop->is_ecmascript) {
		q->word |= HANDLED;
		chain_passes_on(p);
		avow__settle_alias(loop, p, source, false);
		return;
	}
	p->original = source;
	avow__follow(loop, p, q);
	if (!(p->word & FOLLOWING))
		avow__unuse_short(loop, source); /* rejected at once */
}

/* The handler of a finally or a tap has returned: the outcome of `source`
 * passes on, but an error takes its place, and a promise is waited for. */
static void chain_keep(avow_loop *loop, avow_promise *p, avow_promise *source,
		       avow_value result)
{
	if (result.type == &avow_promise_type) {
		chain_keep_waiting(loop, p, source, result.as.ptr);
		return;
	}
	const bool is_given = chain_is_given(p, source, result);
	if (avow__value_is_error(result) && !is_given) {
		avow__settle(loop, p, result, AVOW_REJECTED, source);
		avow__unuse_short(loop, source);
		return;
	}
	chain_passes_on(p);
	if (UNLIKELY(loop->is_ecmascript))
		avow__adopt_kept(loop, p, source);
	else
		avow__settle_alias(loop, p, source, false);
	if (!is_given)
		avow__value_drop(result);
}

/* Everything but a plain value from a plain handler. */
static void chain_result(avow_loop *loop, avow_promise *p, avow_promise *source,
			 avow_value result)
{
	if (UNLIKELY(avow__is_settled(p))) {
		chain_unwanted(loop, p, source, result);
	} else if (p->word & KEEP) {
		chain_keep(loop, p, source, result);
	} else if (result.type == &avow_promise_type) {
		avow__follow(loop, p, result.as.ptr);
		avow__unuse_short(loop, source);
	} else if (result.type && result.type->drop && result.as.ptr &&
		   chain_is_given(p, source, result)) {
		/* `return value;`: passed through, and still owned once. */
		avow__settle_alias(loop, p, source, false);
	} else {
		avow__lent_check(loop, p, result);
		avow__resolve(loop, p, result, source);
		avow__unuse_short(loop, source);
	}
}

/* Does the handler of `p`, with an extra block, run for what `source` holds? */
static bool chain_is_filtered(const struct avow__extra *extra, avow_value value)
{
	return extra->domain &&
	       !avow_error_is(value, extra->domain, extra->code);
}

/* The rare ways to react: a handler from an extra block, or none at all. */
static void chain_react_extra(avow_loop *loop, avow_promise *p);

/* A value that just fulfils, other than the very one the handler was given. */
static inline bool chain_is_plain(avow_value result, avow_value given)
{
	const avow_type *type = result.type;
	return !type || (!type->then && !type->is_error &&
			 (!type->drop || !avow__value_same(result, given)));
}

/* The handler has returned. */
INLINE void chain_reacted(avow_loop *loop, avow_promise *p,
			  avow_promise *source, avow_value given,
			  avow_value result)
{
	loop->running = NULL;
	const uint32_t word = p->word;
	if (LIKELY(!(word & (STATE_MASK | KEEP | EXTRA)) &&
		   chain_is_plain(result, given))) {
		avow_promise *const tail = p->tail;
		avow__lent_check(loop, p, result);
		avow__lent_end(loop);
		p->value = result;
		p->word = (word & ~(uint32_t)RUNNING) | AVOW_FULFILLED;
		promise_check(loop, source);
		if (tail)
			avow__ring_splice(&loop->jobs, tail, false);
		else if (!p->uses)
			avow__retire_short(loop, p);
		avow__unuse_short(loop, source);
		return;
	}
	/* A cancelled one stays RUNNING until chain_unwanted() is done. */
	if (!avow__is_settled(p))
		p->word &= ~(uint32_t)RUNNING;
	chain_result(loop, p, source, result);
	avow__lent_end(loop);
}

INLINE void chain_react(avow_loop *loop, avow_promise *p)
{
	avow_promise *const source = p->source;
	const uint32_t word = p->word;
	if (UNLIKELY(word & EXTRA)) {
		chain_react_extra(loop, p);
		return;
	}
	if (!(word >> ON_SHIFT & source->word & STATE_MASK)) {
		avow__settle_alias(loop, p, source, false);
		return;
	}
	const avow_value value = avow__owner(source)->value;
	p->word = word | RUNNING;
	loop->running = p;
	chain_reacted(loop, p, source, value, p->fn(value, p->arg));
}

static void chain_react_extra(avow_loop *loop, avow_promise *p)
{
	avow_promise *const source = p->source;
	const struct avow__extra *const extra = p->extra;
	const avow_value value = avow__owner(source)->value;
	if (!(p->word >> ON_SHIFT & source->word & STATE_MASK) ||
	    chain_is_filtered(extra, value)) {
		avow__settle_alias(loop, p, source, false);
		return;
	}
	avow_handler_fn *const fn = source->word & AVOW_REJECTED &&
						    extra->rejected
					    ? extra->rejected
					    : extra->fn;
	p->word |= RUNNING;
	loop->running = p;
	chain_reacted(loop, p, source, value, fn(value, extra->arg));
}

/* What `p` follows has settled. */
static void chain_followed(avow_loop *loop, avow_promise *p)
{
	avow_promise *const q = p->source;
	const bool in_front = !loop->is_ecmascript;
	if (UNLIKELY(!in_front || p->word & QUEUED) && !avow__adopted(loop, p))
		return;
	p->word &= ~(uint32_t)FOLLOWING;
	if (!(p->word & KEEP)) {
		avow__settle_alias(loop, p, q, in_front);
		return;
	}
	avow_promise *const original = p->original;
	if (q->word & AVOW_REJECTED) {
		avow__settle_alias(loop, p, q, in_front);
		avow__unuse(loop, original);
	} else {
		chain_passes_on(p);
		avow__settle_alias(loop, p, original, in_front);
		avow__unuse(loop, q);
	}
}

/* Every job that is no reaction. */
static void chain_run_other(avow_loop *loop, avow_promise *job)
{
	if ((job->word & (INPUT | ROOT)) == INPUT) {
		job->job(job); /* of a task */
	} else if (job->word & FOLLOWING) {
		chain_followed(loop, job);
	} else if (job->word & POST) {
		avow_job_fn *const fn = job->job;
		void *const arg = job->arg;
		avow__node_free(loop, job);
		fn(arg);
	} else if (job->word & THENABLE) {
		avow__thenable_start(loop, job);
	} else {
		/* avow_immediate(): its turn has come. */
		avow__settle(loop, job, avow__none, AVOW_FULFILLED, NULL);
	}
}

INLINE void chain_run(avow_loop *loop, avow_promise *job)
{
	if (LIKELY(!(job->word & (FOLLOWING | POST | ROOT | INPUT))))
		chain_react(loop, job);
	else
		chain_run_other(loop, job);
}

void avow__run(avow_loop *loop, avow_promise *job)
{
	chain_run(loop, job);
}

/* Here and not in the scheduler, to be one function with chain_run(). */
bool avow__run_jobs(avow_loop *loop, unsigned depth)
{
	struct avow__budget budget;
	avow__budget_open(loop, &budget);
	while (loop->jobs) {
		if (UNLIKELY(loop->tick >= budget.next_look) &&
		    !avow__budget_goes_on(loop, &budget))
			return true;
		chain_run(loop, avow__job_next(loop));
		if (!loop->attention)
			continue;
		if (loop->attention == ATTEND_PARKED)
			avow__reap(loop, depth);
		else if (!avow__attend(loop, depth))
			break;
	}
	return false;
}
