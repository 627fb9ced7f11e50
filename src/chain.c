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
static avow_promise *chain_refuse(avow_loop *loop, const avow_handlers *handlers)
{
	if (handlers && handlers->drop && handlers->arg && !handlers->copy_size) {
		avow__enter(loop);
		handlers->drop(handlers->arg);
		avow__leave(loop);
	}
	return loop->immortal;
}

/* Link `p`, filled in but for its source, behind what `source` has. */
static inline void chain_link(avow_loop *loop, avow_promise *p,
			      avow_promise *source)
{
	p->uses = 0;
	p->source = source;
	p->tail = NULL;
	source->uses++;
	source->word |= HANDLED;
	if (avow__is_settled(source))
		avow__job_append(loop, p);
	else
		avow__ring_append(&source->tail, p);
	promise_check(loop, source);
	promise_check(loop, p);
}

static inline avow_promise *chain_attach(const char *place,
					 avow_promise *source,
					 avow_handler_fn *fn, void *arg,
					 uint32_t when, const char *call)
{
	avow_loop *loop = avow__entry(source, call);
	avow_promise *p = avow__node_alloc(loop);
	if (UNLIKELY(!p))
		return chain_refuse(loop, NULL);
	p->word = loop->birth | (fn ? when : when & SHIELD);
	p->fn = fn;
	p->arg = arg;
	p->place = place;
	chain_link(loop, p, source);
	return p;
}

avow_promise *avow_then_at(const char *place, avow_promise *p,
			   avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_FULFILLED, "avow_then()");
}

avow_promise *avow_catch_at(const char *place, avow_promise *p,
			    avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_REJECTED, "avow_catch()");
}

avow_promise *avow_finally_at(const char *place, avow_promise *p,
			      avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, FINALLY, "avow_finally()");
}

avow_promise *avow_tap_at(const char *place, avow_promise *p,
			  avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_FULFILLED | KEEP,
			    "avow_tap()");
}

avow_promise *avow_tap_catch_at(const char *place, avow_promise *p,
				avow_handler_fn *fn, void *arg)
{
	return chain_attach(place, p, fn, arg, ON_REJECTED | KEEP,
			    "avow_tap_catch()");
}

avow_promise *avow_shield_at(const char *place, avow_promise *p)
{
	return chain_attach(place, p, NULL, NULL, SHIELD, "avow_shield()");
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
static avow_promise *chain_attach_extra(const char *place,
					avow_promise *source,
					const avow_handlers *h, uint32_t when,
					const avow_domain *domain, int code)
{
	avow_loop *loop = avow__entry(source, "attaching to");
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
	chain_link(loop, p, source);
	return p;

fail_node:
	avow__node_free(loop, extra);
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

/*
 * The handler of a promise that was cancelled meanwhile has returned: what it
 * gave is not wanted, and neither is work that nobody else waits for.  Only
 * the cleanup of a finally goes on, in a node of its own.
 */
static void chain_unwanted(avow_loop *loop, avow_promise *p,
			   avow_promise *source, avow_value result)
{
	avow_promise *q = result.type == &avow_promise_type ? result.as.ptr :
							      NULL;
	if ((p->word & FINALLY) == FINALLY) {
		if (avow__finally_goes_on(loop, p, source, result))
			q = NULL;
	} else if (!q) {
		avow__value_drop(result);
	}
	if (q && !avow__is_settled(q) && q->uses == 0)
		avow_cancel(q);
	avow__finish_late(loop, p);
	avow__unuse(loop, source);
}

static void chain_keep_waiting(avow_loop *loop, avow_promise *p,
			       avow_promise *source, avow_promise *q)
{
	if (q && avow__is_settled(q) && !(q->word & (AVOW_REJECTED | DEAD))) {
		q->word |= HANDLED;
		avow__settle_alias(loop, p, source, false);
		return;
	}
	p->original = source;
	avow__follow(loop, p, q);
	if (!(p->word & FOLLOWING))
		avow__unuse(loop, source); /* rejected at once */
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
	if (avow__value_is_error(result) &&
	    !avow__value_same(result, avow__owner(source)->value)) {
		avow__settle(loop, p, result, AVOW_REJECTED, source);
		avow__unuse(loop, source);
		return;
	}
	if (!avow__value_same(result, avow__owner(source)->value))
		avow__value_drop(result);
	avow__settle_alias(loop, p, source, false);
}

/* Everything but a plain value from a plain handler. */
static void chain_result(avow_loop *loop, avow_promise *p, avow_promise *source,
			 avow_value result)
{
	if (UNLIKELY(avow__is_settled(p))) {
		chain_unwanted(loop, p, source, result);
	} else if (p->word & KEEP) {
		chain_keep(loop, p, source, result);
	} else if (result.type->drop && result.as.ptr &&
		   avow__value_same(result, avow__owner(source)->value)) {
		/* `return value;`: passed through, and still owned once. */
		avow__settle_alias(loop, p, source, false);
	} else {
		avow__lent_check(loop, p, result);
		avow__resolve_other(loop, p, result, source);
		avow__unuse(loop, source);
	}
}

/* Does the handler of `p`, with an extra block, run for what `source` holds? */
static bool chain_is_filtered(const struct avow__extra *extra, avow_value value)
{
	return extra->domain &&
	       !avow_error_is(value, extra->domain, extra->code);
}

static void chain_react(avow_loop *loop, avow_promise *p)
{
	avow_promise *const source = p->source;
	const uint32_t word = p->word;
	const avow_value value = avow__owner(source)->value;
	avow_handler_fn *fn = p->fn;
	void *arg = p->arg;

	if (!(word >> ON_SHIFT & source->word & STATE_MASK)) {
		avow__settle_alias(loop, p, source, false);
		return;
	}
	if (UNLIKELY(word & EXTRA)) {
		const struct avow__extra *extra = p->extra;
		if (chain_is_filtered(extra, value)) {
			avow__settle_alias(loop, p, source, false);
			return;
		}
		fn = source->word & AVOW_REJECTED && extra->rejected ?
			     extra->rejected :
			     extra->fn;
		arg = extra->arg;
	}
	p->word = word | RUNNING;
	loop->running = p;
	const avow_value result = fn(value, arg);
	loop->running = NULL;
	avow__lent_end(loop);
	/* A cancelled one stays RUNNING until chain_unwanted() is done. */
	if (LIKELY(!avow__is_settled(p)))
		p->word &= ~(uint32_t)RUNNING;
	if (LIKELY(!result.type && !(p->word & (KEEP | STATE_MASK)))) {
		avow__settle(loop, p, result, AVOW_FULFILLED, source);
		avow__unuse(loop, source);
	} else {
		chain_result(loop, p, source, result);
	}
}

/* What `p` follows has settled. */
static void chain_followed(avow_loop *loop, avow_promise *p)
{
	avow_promise *const q = p->source;
	p->word &= ~(uint32_t)FOLLOWING;
	if (!(p->word & KEEP)) {
		avow__settle_alias(loop, p, q, true);
		return;
	}
	avow_promise *const original = p->original;
	if (q->word & AVOW_REJECTED) {
		avow__settle_alias(loop, p, q, true);
		avow__unuse(loop, original);
	} else {
		avow__settle_alias(loop, p, original, true);
		avow__unuse(loop, q);
	}
}

void avow__run(avow_loop *loop, avow_promise *job)
{
	if (LIKELY(!(job->word & (FOLLOWING | POST | ROOT)))) {
		chain_react(loop, job);
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
