/*
 * SPDX-License-Identifier: MIT
 *
 * cancel.c - giving up: settle as cancelled, climb to sources that nobody else
 * wants, tell the work.
 *
 * The order matters.  First every promise on the way up is taken off what it
 * waits for; then all are settled, the one nearest to the work first, as a
 * rejection would have come down; then the hooks of the work run; then what
 * those promises had to drop is dropped, in the same order.  A handler may have
 * handed its argument on to that work, so the work stops before the argument
 * goes.  The work may be a task that waits for many: then the way branches, all
 * its branches are gone up first, then the hooks run, and the drops come when
 * all work has stopped.
 * Handlers of avow_finally() run later, as jobs; what was attached behind them
 * is dropped when they have ended.  Hooks and drops are the program's code and
 * may do anything: what is on the way is marked RUNNING until its turn has come.
 */
#include "chain.h"

/* ----------------------------------------------------------------- Cleanup */

/* It stands in a node. */
struct avow__cleanup {
	uint32_t word; /* RAW */
	uint32_t uses; /* what goes on, and the cancellation itself */
	struct avow__cleanup *next, *back; /* of the loop's */
	struct avow__extra *first, *last;  /* to be dropped, through `slots` */
};

static void cleanup_drop(avow_loop *loop, struct avow__extra *list)
{
	while (list) {
		struct avow__extra *const extra = list;
		void *const arg = extra->arg;
		avow_drop_fn *const drop = extra->drop;
		const size_t copy_size = extra->copy_size;
		list = (struct avow__extra *)(void *)extra->slots;
		avow__raw_free(loop, extra);
		if (drop)
			drop(arg);
		if (copy_size)
			avow_block_free_(arg, copy_size);
	}
}

static struct avow__extra *cleanup_close(avow_loop *loop,
					 struct avow__cleanup *cleanup)
{
	struct avow__extra *const list = cleanup->first;
	if (cleanup->back)
		cleanup->back->next = cleanup->next;
	else
		loop->cleanups = cleanup->next;
	if (cleanup->next)
		cleanup->next->back = cleanup->back;
	avow__raw_free(loop, cleanup);
	return list;
}

void avow__cleanup_done(avow_loop *loop, struct avow__cleanup *cleanup)
{
	/* A loop that ends drops them by itself, behind all handlers. */
	if (!cleanup || avow__is_closing(loop) || --cleanup->uses > 0)
		return;
	avow__enter(loop);
	cleanup_drop(loop, cleanup_close(loop, cleanup));
	avow__leave(loop);
}

void avow__cleanups_end(avow_loop *loop)
{
	while (loop->cleanups)
		cleanup_drop(loop, cleanup_close(loop, loop->cleanups));
}

static struct avow__cleanup *cleanup_of(avow_loop *loop,
					struct avow__doomed *doomed)
{
	struct avow__cleanup *cleanup = doomed->cleanup;
	if (!cleanup)
		cleanup = avow__node_alloc(loop);
	if (!cleanup || doomed->cleanup)
		return cleanup;
	*cleanup = (struct avow__cleanup){ .word = RAW, .uses = 1 };
	cleanup->next = loop->cleanups;
	if (cleanup->next)
		cleanup->next->back = cleanup;
	loop->cleanups = cleanup;
	doomed->cleanup = cleanup;
	return cleanup;
}

struct avow__cleanup *avow__cleanup_begin(avow_loop *loop)
{
	struct avow__doomed *const doomed = loop->doomed;
	struct avow__cleanup *const cleanup =
		avow__is_giving_up(loop) ? cleanup_of(loop, doomed) : NULL;
	if (cleanup) {
		cleanup->uses++;
		doomed->is_behind = true;
	}
	return cleanup;
}

/* A finally that went on has ended.  Its error is nobody's. */
static void cleanup_on_end(void *node)
{
	avow_promise *const input = node, *const stand_in = input->source;
	avow_loop *const loop = avow__slab_of(input)->loop;
	struct avow__cleanup *const cleanup = input->arg;
	avow__node_free(loop, input);
	avow__unuse(loop, stand_in);
	avow__cleanup_done(loop, cleanup);
}

/* Out of memory what is behind it does not wait. */
static void cleanup_await(avow_loop *loop, avow_promise *stand_in)
{
	struct avow__cleanup *const cleanup = cleanup_of(loop, loop->doomed);
	avow_promise *const input = cleanup ? avow__node_alloc(loop) : NULL;
	if (!input)
		return;
	input->word = loop->birth | INPUT;
	input->uses = 0;
	input->source = stand_in;
	input->job = cleanup_on_end;
	input->arg = cleanup;
	input->place = stand_in->place;
	input->tail = NULL;
	stand_in->uses++;
	avow__ring_append(&stand_in->tail, input);
	cleanup->uses++;
}

/* What settled `p` has to drop waits.  Out of memory it does not. */
static void cleanup_take(avow_loop *loop, struct avow__cleanup *cleanup,
			 avow_promise *p)
{
	struct avow__extra *const extra = p->word & EXTRA ? p->extra : NULL;
	if (!extra || p->word & ROOT || extra->word & SEALED ||
	    !(extra->drop || extra->copy_size))
		return;
	if (extra->slots) {
		struct avow__extra *const rest = avow__node_alloc(loop);
		if (!rest)
			return;
		*rest = (struct avow__extra){ .word = RAW };
		rest->slots = extra->slots;
		p->extra = rest;
	} else {
		p->word &= ~(uint32_t)EXTRA;
		p->fn = NULL;
	}
	extra->slots = NULL;
	if (cleanup->last)
		cleanup->last->slots = (struct avow__slot *)(void *)extra;
	else
		cleanup->first = extra;
	cleanup->last = extra;
}

/* -------------------------------------------------------------- The way up */

/* What the way up leaves to be done once all is settled. */
struct cancel_way {
	avow_promise *first; /* where it began: gets the reason */
	avow_value reason;
	avow_promise *list; /* through `next`, nearest to the work first */
	avow_promise *last; /* of the list */
	avow_promise *root; /* whose work is to be told, or NULL */
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
	stand_in->word = loop->birth | FINALLY | STAND_IN | (extra ? EXTRA : 0);
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
		cleanup_await(loop, stand_in);
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
	p->stand_in = (p->word & FINALLY) == FINALLY ? cancel_stand_in(loop, p)
						     : NULL;
	if (p->stand_in)
		cleanup_await(loop, p->stand_in);
	return source;
}

static avow_job_fn **cancel_hook(avow_promise *p)
{
	return p->word & EXTRA ? &p->extra->job : &p->job;
}

/* A root: remember whom to tell.  Without a hook its call is over. */
static void cancel_root(avow_loop *loop, avow_promise *p,
			struct cancel_way *way)
{
	if (p->word & QUEUED)
		avow__queue_unlink(loop, p);
	way->root = p;
	if (!*cancel_hook(p) && p->word & CALL)
		avow__call_over(loop, p);
}

/* Tell the work.  The root is marked RUNNING, so it is still there. */
static void cancel_tell(avow_loop *loop, avow_promise *root)
{
	avow_job_fn **const at = cancel_hook(root);
	avow_job_fn *const hook = *at;
	void *const arg = root->arg;
	*at = NULL;
	if (hook && root->word & CALL)
		avow__call_hook(loop, root, hook, arg);
	else if (hook)
		hook(arg);
}

/*
 * The hook of a call is the program's, and waits until all branches are
 * settled.  That of a task, or of a watcher, is our own: a task says there whom
 * else it does not want.  Off the list, a root is marked ON_WAY.
 */
static void cancel_tell_root(avow_loop *loop, struct cancel_way *way)
{
	struct avow__doomed *const doomed = loop->doomed;
	avow_promise *const root = way->root;
	const bool is_listed = way->list && way->list == root;
	if (!root)
		return;
	if (is_listed)
		way->list = root->next;
	if (!(root->word & CALL)) {
		cancel_tell(loop, root);
		if (is_listed)
			avow__finish_late(loop, root);
		return;
	}
	if (is_listed)
		root->word |= ON_WAY;
	root->next = NULL;
	if (doomed->told)
		doomed->told_tail->next = root;
	else
		doomed->told = root;
	doomed->told_tail = root;
}

static void cancel_tell_next(avow_loop *loop, struct avow__doomed *doomed)
{
	avow_promise *const root = doomed->told;
	const bool is_ours = root->word & ON_WAY;
	doomed->told = root->next;
	root->word &= ~(uint32_t)ON_WAY;
	cancel_tell(loop, root);
	if (is_ours)
		avow__finish_late(loop, root);
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
	/* A root has the argument of its hook there. */
	avow_promise *stand_in = p->word & ROOT ? NULL : p->stand_in;
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
	cancel_tell_root(loop, &way);
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
	while (doomed.head || doomed.told || late) {
		if (doomed.head) {
			cancel_doomed(loop, &doomed, &late);
		} else if (doomed.told) {
			cancel_tell_next(loop, &doomed);
		} else {
			p = late;
			late = p->next;
			if (doomed.is_behind && doomed.cleanup)
				cleanup_take(loop, doomed.cleanup, p);
			doomed.is_behind |= (p->word & FINALLY) == FINALLY;
			avow__finish_late(loop, p);
		}
	}
	loop->doomed = outer;
	avow__cleanup_done(loop, doomed.cleanup);
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
			   (struct avow__doomed){ .head = input,
						  .tail = input });
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
			   (struct avow__doomed){ .head = NULL });
}

void avow_cancel(avow_promise *p)
{
	if (!p)
		return;
	avow_loop *loop = avow__entry(p, "avow_cancel()");
	avow__cancel_with(loop, p, avow__core_error(AVOW_ECANCELLED));
}
