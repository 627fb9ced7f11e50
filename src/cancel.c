/*
 * SPDX-License-Identifier: MIT
 *
 * cancel.c - giving up: settle as cancelled, climb to sources that nobody else
 * wants, tell the work.
 *
 * The order matters.  First every promise on the way up is taken off what it
 * waits for; then all are settled, the one nearest to the work first, as a
 * rejection would have come down; then the hook of the work runs; then what
 * those promises had to drop is dropped, in the same order.  A handler may have
 * handed its argument on to that work, so the work stops before the argument
 * goes.  The work may be a task that waits for many: then the way branches, all
 * its branches are gone up first, and the drops come when all work has stopped.
 * Hooks and drops are the program's code and may do anything: what is on the
 * way is marked RUNNING until its turn has come.
 */
#include "chain.h"

/* What the way up leaves to be done once all is settled. */
struct cancel_way {
	avow_promise *first; /* where it began: gets the reason */
	avow_value reason;
	avow_promise *list; /* through `next`, nearest to the work first */
	avow_promise *last; /* of the list */
	avow_promise *root; /* whose work is to be told, or NULL */
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
	avow_promise *q = result.type == &avow_promise_type ? result.as.ptr
							    : NULL;
	if (!q) {
		const bool is_given =
			!(p->word & TOOK) &&
			avow__value_same(result, avow__owner(source)->value);
		if (avow__value_is_error(result) && !is_given)
			(void)avow_rejected_at(p->place, loop, result);
		else if (!is_given)
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
	if ((p->word & FINALLY) == FINALLY)
		p->stand_in = cancel_stand_in(loop, p);
	else
		p->stand_in = NULL;
	return source;
}

/* A root: remember whom to tell.  Without a hook its call is over. */
static void cancel_root(avow_loop *loop, avow_promise *p,
			struct cancel_way *way)
{
	avow_job_fn **const hook = p->word & EXTRA ? &p->extra->job : &p->job;
	if (p->word & QUEUED)
		avow__queue_unlink(loop, p);
	way->root = p;
	way->hook = *hook;
	way->hook_arg = p->arg;
	*hook = NULL;
	if (!way->hook && p->word & CALL)
		avow__call_over(loop, p);
}

/* Tell the work.  The root is marked RUNNING, so it is still there. */
static void cancel_tell(avow_loop *loop, const struct cancel_way *way)
{
	if (!way->hook)
		return;
	if (way->root->word & CALL)
		avow__call_hook(loop, way->root, way->hook, way->hook_arg);
	else
		way->hook(way->hook_arg);
}

/*
 * Take pending `p` off whatever it waits for.  Returns that, of which one use
 * is to be ended, or NULL.
 */
static avow_promise *cancel_detach(avow_loop *loop, avow_promise *p,
				   struct cancel_way *way)
{
	avow_promise *source = NULL;
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
		p->stand_in = NULL;
	} else if (p->word & ROOT) {
		cancel_root(loop, p, way);
		p->stand_in = NULL;
	} else {
		source = cancel_waiting_to_run(loop, p);
	}
	p->word |= RUNNING | ON_WAY;
	if (!way->list)
		way->last = p;
	p->next = way->list;
	way->list = p;
	return source;
}

static avow_value cancel_reason(const struct cancel_way *way,
				const avow_promise *p)
{
	return p == way->first ? way->reason
			       : avow__core_error(AVOW_ECANCELLED);
}

/* Settle one that is off everything, its finally before its consumers. */
static void cancel_settle(avow_loop *loop, avow_promise *p,
			  const struct cancel_way *way)
{
	avow_promise *stand_in = p->stand_in;
	p->word &= ~(uint32_t)ON_WAY;
	if (stand_in) {
		stand_in->source = p;
		p->uses++;
		p->word |= HANDLED;
		avow__job_append(loop, stand_in);
	}
	avow__settle(loop, p, cancel_reason(way, p), AVOW_REJECTED, NULL);
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
	/* Promises that wait for each other in a circle come round again. */
	return is_shielded || source->word & ON_WAY ? NULL : source;
}

/* Its handler is on the stack, and so is the one who will finish it.  Returns
 * what it waits for, as above: a thenable may have resolved it already. */
static avow_promise *cancel_running(avow_loop *loop, avow_promise *p,
				    struct cancel_way *way)
{
	avow_promise *source = NULL;
	if (p->word & FOLLOWING) {
		source = p->source;
		avow__unlink(loop, p);
		p->word &= ~(uint32_t)FOLLOWING;
	} else if (p->word & ROOT) {
		cancel_root(loop, p, way);
	}
	avow__settle(loop, p, cancel_reason(way, p), AVOW_REJECTED, NULL);
	return source;
}

/*
 * All the way up from `p`, but for the drops: those who have any yet to do come
 * before what is on the list `late`, which is further from the work.  A root
 * does its own at once: a task says there whom else it does not want.
 */
static void cancel_from(avow_loop *loop, avow_promise *p, avow_value reason,
			avow_promise **late)
{
	struct cancel_way way = { .first = p, .reason = reason };
	while (p) {
		const bool is_shielded = p->word & SHIELD;
		avow_promise *source = p->word & RUNNING
					       ? cancel_running(loop, p, &way)
					       : cancel_detach(loop, p, &way);
		p = source ? cancel_climb(loop, source, is_shielded) : NULL;
	}
	for (p = way.list; p; p = p->next)
		cancel_settle(loop, p, &way);
	cancel_tell(loop, &way);
	p = way.list;
	if (p && p == way.root) {
		way.list = p->next;
		avow__finish_late(loop, p);
	}
	if (way.list) {
		way.last->next = *late;
		*late = way.list;
	}
}

/* The next input on the list: one more that does not want its source, or wants
 * it to end whoever else does. */
static void cancel_doomed(avow_loop *loop, struct avow__doomed *doomed,
			  avow_promise **late)
{
	avow_promise *const input = doomed->head;
	avow_promise *const source = input->source;
	const bool whoever_wants = input->uses;
	doomed->head = input->next;
	avow__node_free(loop, input);
	if (avow__is_settled(source))
		avow__unuse_in_call(loop, source);
	else if (--source->uses == 0 || whoever_wants)
		cancel_from(loop, source, avow__core_error(AVOW_ECANCELLED),
			    late);
}

/* Cancel `p`, if there is one, and then what that leaves unwanted. */
static void cancel_all(avow_loop *loop, avow_promise *p, avow_value reason,
		       struct avow__doomed doomed)
{
	struct avow__doomed *const outer = loop->doomed;
	avow_promise *late = NULL;
	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	doomed.busy = loop->busy;
	loop->doomed = &doomed;
	if (p)
		cancel_from(loop, p, reason, &late);
	while (doomed.head || late) {
		if (doomed.head) {
			cancel_doomed(loop, &doomed, &late);
		} else {
			p = late;
			late = p->next;
			avow__finish_late(loop, p);
		}
	}
	loop->doomed = outer;
	avow__call_end(loop, was);
	avow__leave(loop);
}

void avow__give_up(avow_loop *loop, avow_promise *input, bool whoever_wants)
{
	struct avow__doomed *const doomed = loop->doomed;
	input->next = NULL;
	input->uses = whoever_wants; /* nobody uses an input */
	/* The program's code, called from there, may have called us again. */
	if (!avow__is_giving_up(loop))
		cancel_all(loop, NULL, avow__none,
			   (struct avow__doomed){ input, input, 0 });
	else if (doomed->head)
		doomed->tail = doomed->tail->next = input;
	else
		doomed->head = doomed->tail = input;
}

void avow__cancel_with(avow_loop *loop, avow_promise *p, avow_value reason)
{
	if (avow__is_settled(p))
		avow__value_drop(reason);
	else
		cancel_all(loop, p, reason,
			   (struct avow__doomed){ NULL, NULL, 0 });
}

void avow_cancel(avow_promise *p)
{
	if (!p)
		return;
	avow_loop *loop = avow__entry(p, "avow_cancel()");
	avow__cancel_with(loop, p, avow__core_error(AVOW_ECANCELLED));
}
