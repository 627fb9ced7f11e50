/*
 * SPDX-License-Identifier: MIT
 *
 * cancel.c - giving up: settle as cancelled, climb to sources that nobody else
 * wants, tell the work.
 *
 * The order matters.  First every promise on the way is taken off its ring and
 * settled; then the hook of the work at the end of the way runs; then what
 * those promises had to drop is dropped, the one nearest to the work first.  A
 * handler may have handed its argument on to that work, so the work stops
 * before the argument goes.  Hooks and drops are the program's code and may do
 * anything: what is on the way is marked RUNNING until its turn has come.
 */
#include "chain.h"

/* What the way up leaves to be done once all is settled. */
struct cancel_way {
	avow_promise *settled;	/* list through `next`, nearest to the work
				   first */
	avow_job_fn *hook;
	void *hook_arg;
};

/*
 * A new node in place of `p`, which takes over its handler and what it drops,
 * but not its slots.  NULL when out of memory.
 */
static avow_promise *cancel_stand_in(avow_loop *loop, avow_promise *p)
{
	avow_promise *stand_in = avow__node_alloc(loop);
	if (!stand_in)
		return NULL;
	struct avow__extra *extra = p->word & EXTRA ? p->extra : NULL;
	if (extra && extra->slots) {
		struct avow__extra *rest = avow__node_alloc(loop);
		if (!rest) {
			avow__node_free(loop, stand_in);
			return NULL;
		}
		*rest = (struct avow__extra){ .word = RAW };
		rest->slots = extra->slots;
		extra->slots = NULL;
		p->extra = rest;
	} else {
		p->word &= ~(uint32_t)EXTRA;
	}
	stand_in->word = loop->birth | FINALLY | (extra ? EXTRA : 0);
	stand_in->uses = 0;
	stand_in->arg = p->arg;
	if (extra)
		stand_in->extra = extra;
	else
		stand_in->fn = p->fn;
	stand_in->place = p->place;
	stand_in->tail = NULL;
	return stand_in;
}

/* Wait for `q` in a finally's place, with one use of `original`. */
static void cancel_stand_in_follows(avow_loop *loop, avow_promise *stand_in,
				    avow_promise *q, avow_promise *original)
{
	stand_in->word |= FOLLOWING;
	stand_in->source = q;
	stand_in->original = original;
	if (avow__is_settled(q))
		avow__job_append(loop, stand_in);
	else
		avow__ring_append(&q->tail, stand_in);
}

bool avow__finally_goes_on(avow_loop *loop, avow_promise *p,
			   avow_promise *source, avow_value result)
{
	avow_promise *q = result.type == &avow_promise_type ? result.as.ptr :
							      NULL;
	if (!q) {
		if (avow__value_is_error(result) &&
		    !avow__value_same(result, avow__owner(source)->value))
			(void)avow_rejected_at(p->place, loop, result);
		else if (!avow__value_same(result, avow__owner(source)->value))
			avow__value_drop(result);
		return false;
	}
	avow_promise *stand_in = cancel_stand_in(loop, p);
	if (!stand_in)
		return false;
	q->uses++;
	q->word |= HANDLED | FOLLOWED;
	source->uses++;
	cancel_stand_in_follows(loop, stand_in, q, source);
	return true;
}

/* Take `p`, waiting in a finally for its cleanup, off it.  The cleanup goes on
 * unless there is no memory for that. */
static avow_promise *cancel_waiting_finally(avow_loop *loop, avow_promise *p)
{
	avow_promise *const q = p->source, *const original = p->original;
	avow_promise *stand_in = cancel_stand_in(loop, p);
	avow__unlink(loop, p);
	if (stand_in) {
		cancel_stand_in_follows(loop, stand_in, q, original);
		return NULL;
	}
	avow__unuse_in_call(loop, original);
	return q;
}

/* The same before its handler ran: it will, with the cancellation. */
static avow_promise *cancel_waiting_to_run(avow_loop *loop, avow_promise *p)
{
	avow_promise *const source = p->source;
	avow__unlink(loop, p);
	if ((p->word & FINALLY) == FINALLY) {
		avow_promise *stand_in = cancel_stand_in(loop, p);
		if (stand_in) {
			stand_in->source = p;
			p->uses++;
			p->word |= HANDLED;
			avow__job_append(loop, stand_in);
		}
	}
	return source;
}

/* A root: remember whom to tell. */
static void cancel_root(avow_loop *loop, avow_promise *p,
			struct cancel_way *way)
{
	if (p->word & QUEUED)
		avow__queue_unlink(loop, p);
	/* Before the hook: a library may call back from inside its cancel. */
	if (p->word & CALL)
		avow__call_over(loop, p);
	way->hook = p->word & EXTRA ? p->extra->job : p->job;
	way->hook_arg = p->arg;
	if (p->word & EXTRA)
		p->extra->job = NULL;
	else
		p->job = NULL;
}

/*
 * Take pending `p` off whatever it waits for and settle it.  Returns what it
 * waited for, of which one use is to be ended, or NULL.
 */
static avow_promise *cancel_step(avow_loop *loop, avow_promise *p,
				 struct cancel_way *way)
{
	avow_promise *source = NULL;
	const bool was_running = p->word & RUNNING;

	if (p->word & FOLLOWING) {
		if ((p->word & FINALLY) == FINALLY) {
			source = cancel_waiting_finally(loop, p);
		} else {
			source = p->source;
			avow__unlink(loop, p);
			if (p->word & KEEP)
				avow__unuse_in_call(loop, p->original);
		}
		p->word &= ~(uint32_t)FOLLOWING;
	} else if (p->word & ROOT) {
		cancel_root(loop, p, way);
	} else if (!was_running) {
		source = cancel_waiting_to_run(loop, p);
	} /* else its source is the runner's, and so is the rest of it */

	p->word |= RUNNING;
	avow__settle(loop, p, avow__core_error(AVOW_ECANCELLED), AVOW_REJECTED,
		     NULL);
	if (!was_running) {
		p->next = way->settled;
		way->settled = p;
	}
	return source;
}

/* The source of what was cancelled: the next to cancel, or NULL. */
static avow_promise *cancel_climb(avow_loop *loop, avow_promise *source,
				  bool is_shielded)
{
	if (--source->uses > 0)
		return NULL;
	if (avow__is_settled(source)) {
		avow__park(loop, source);
		return NULL;
	}
	return is_shielded ? NULL : source;
}

static void cancel_from(avow_loop *loop, avow_promise *p)
{
	struct cancel_way way = { NULL, NULL, NULL };
	while (p) {
		const bool is_shielded = p->word & SHIELD;
		avow_promise *source = cancel_step(loop, p, &way);
		p = source ? cancel_climb(loop, source, is_shielded) : NULL;
	}
	if (way.hook)
		way.hook(way.hook_arg);
	while (way.settled) {
		avow_promise *done = way.settled;
		way.settled = done->next;
		avow__finish_late(loop, done);
	}
}

void avow_cancel(avow_promise *p)
{
	if (!p)
		return;
	avow_loop *loop = avow__entry(p, "avow_cancel()");
	if (avow__is_settled(p))
		return;
	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	cancel_from(loop, p);
	avow__call_end(loop, was);
	avow__leave(loop);
}
